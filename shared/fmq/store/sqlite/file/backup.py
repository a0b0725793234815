"""A consistent copy of a database that others go on writing (sqlite.org/backup.html)."""

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from fmq.errors import QueueError, StoreDamaged, StoreRefused, StoreUnavailable
from fmq.store.sqlite.file import location
from fmq.store.sqlite.schema.recognition import recognize

_PAGES = 1_024


def back_up_file(source: Path, target: Path, *, on_progress: Callable[[int, int], None]) -> int:
    """See fmq.store.backends.Backend.back_up."""
    location.require_fixed_library(location.library_version())
    if not location.is_there(source):
        raise StoreRefused(f"the database {source} does not exist")
    _require_new(target)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    except OSError as error:
        raise QueueError(f"{target} can't be made: {error.strerror}") from error
    os.close(handle)  # readable for this user alone, as mkstemp makes it
    partial = Path(name)
    try:
        _copy(source, partial, on_progress)
        _check(partial)
        _sync(partial)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # the first one keeps the name
        partial.replace(target)
        _sync(target.parent)
    except FileExistsError:
        _require_new(target)
        raise
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreDamaged(f"{source} is damaged ({error}): it can't be backed up") from error
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(f"the backup of {source} to {target} failed: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def _require_new(target: Path) -> None:
    if os.path.exists(target):  # noqa: PTH110 - unlike Path's, False if that can't be seen, and making the file then says why
        raise QueueError(f"{target} exists already: a backup never replaces a file")


def _copy(source: Path, partial: Path, on_progress: Callable[[int, int], None]) -> None:
    with closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as there:
        there.set_busy_timeout(10_000)
        if not recognize(there).is_store:
            raise StoreRefused(f"{source} is not an fmq database")
        # One snapshot for the whole copy. Without it, each commit of another process begins the copy anew.
        there.execute("BEGIN")
        there.execute("SELECT 1 FROM sqlite_schema").fetchall()
        with closing(apsw.Connection(str(partial))) as here:
            with here.backup("main", there, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    on_progress(backup.page_count - backup.remaining, backup.page_count)
            here.pragma("journal_mode", "DELETE")  # one complete file; a service switches it back to WAL


def _check(partial: Path) -> None:
    with closing(apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READONLY)) as sql:
        found = [str(row[0]) for row in sql.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise StoreDamaged(f"the copy is damaged, so the database may be: {' '.join(' '.join(found).split())}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
