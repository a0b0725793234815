"""Keeping a database under another name, on an operator's word."""

import fcntl
from datetime import UTC, datetime
from pathlib import Path

from fmq.errors import QueueError, StoreRefused
from fmq.store.sqlite.file.location import is_there

_OPEN_BYTE = 128  # of the -shm file: every connection in WAL mode holds a shared lock on it (sqlite.org/walformat.html)


def set_file_aside(path: Path) -> str:
    """Rename the file with its ``-wal`` and ``-shm``. See fmq.store.backends.Backend.set_aside."""
    if not is_there(path):
        raise StoreRefused(f"the database {path} does not exist")
    _require_closed(path.with_name(path.name + "-shm"))
    kept = path.with_name(f"{path.name}.aside-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    # The log first: a database without its log is older, one with a stranger's log is damaged.
    try:
        for ending in ("-wal", "-shm", ""):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(kept.with_name(kept.name + ending))
    except OSError as error:
        raise QueueError(f"{error.filename} can't be renamed: {error.strerror}") from error
    return str(kept)


def _require_closed(shared_memory: Path) -> None:
    try:
        with shared_memory.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _OPEN_BYTE)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise StoreRefused(f"{shared_memory} can't be opened by this user: {error.strerror}") from error
    except BlockingIOError:
        raise StoreRefused("the database is in use: stop its listener, processors and other programs first") from None
