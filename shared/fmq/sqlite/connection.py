"""One connection: opening it, its transactions, its clock. Nothing else begins, commits or rolls back."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from fmq.clock import Clock
from fmq.errors import StoreDamaged, StoreRefused, StoreUnavailable, UnknownQueue
from fmq.queue import StoreOptions
from fmq.sqlite import guard, schema
from fmq.sqlite.names import quoted

_log = logging.getLogger(__name__)
_CHECKED_BYTES = 256 * 1024 * 1024
_PAGE_BYTES = 8_192
_CACHE_BYTES = 8 * 1024 * 1024  # a large batch fits, so that none of its pages is written twice
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_UNAVAILABLE = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
)
_DAMAGED = (apsw.CorruptError, apsw.NotADBError)


class Store:
    """An open database of fmq's. ``sql`` runs statements; those that write belong into ``with write():``."""

    def __init__(self, path: Path, options: StoreOptions, clock: Clock) -> None:
        guard.require_fixed_library(guard.library_version())
        guard.require_good_place(path)
        self.path = path
        self._clock = clock
        self._tables: dict[str, str] = {}
        _make_private_file(path)
        with _told(path):
            self.sql = apsw.Connection(str(path))
        try:
            with _told(path):
                self._prepare(options)
        except BaseException:
            self.sql.close()
            raise

    def _prepare(self, options: StoreOptions) -> None:
        sql = self.sql
        sql.set_busy_timeout(round(options.busy_seconds * 1000))
        # First what only reads: whatever is refused stays as it is, to the byte.
        self._require_ours()
        if options.check_integrity:
            self._check_integrity()
        if not sql.pragma("page_count"):
            # Both have to come before the first table. Larger pages: docs/adr/0011.
            sql.pragma("page_size", _PAGE_BYTES)
            sql.pragma("auto_vacuum", "INCREMENTAL")
        mode: object = None
        for attempt in Retrying(
            # The change to WAL does not wait for a lock by the busy timeout.
            retry=retry_if_exception_type(apsw.BusyError),
            stop=stop_after_delay(options.busy_seconds),
            wait=wait_random_exponential(0.01, max=0.25),
            reraise=True,
        ):
            with attempt:
                mode = sql.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise StoreRefused(
                f"{self.path} can't be put into WAL mode (it stays in {mode}): is its file system special?"
            )
        sql.pragma("synchronous", options.durability.value)
        sql.pragma("cache_size", -_CACHE_BYTES // 1024)  # in KiB, as its sign says
        sql.pragma("mmap_size", options.memory_map_bytes)
        sql.pragma("journal_size_limit", _WAL_LIMIT_BYTES)
        sql.pragma("temp_store", "MEMORY")
        if self._version() < schema.LATEST_VERSION:
            with self.write():
                schema.migrate(sql, self._version())
        self._offset = self._set_clock()

    def _version(self) -> int:
        return int(self.sql.pragma("user_version"))

    def _require_ours(self) -> None:
        """Refuse, before anything is written, what is not ours or newer than we are."""
        identity = self.sql.pragma("application_id")
        if identity != schema.APPLICATION_ID and self.sql.execute("SELECT 1 FROM sqlite_schema").fetchall():
            raise StoreRefused(
                f"{self.path} is a database of something else than fmq: it was left untouched; name another file"
            )
        if identity == schema.APPLICATION_ID and self._version() > schema.LATEST_VERSION:
            raise StoreRefused(
                f"{self.path} was written by a newer fmq (schema {self._version()}, this one knows {schema.LATEST_VERSION}): "
                "it was left untouched; use that version"
            )
        if identity == schema.APPLICATION_ID and self._version() < schema.FIRST_VERSION:
            raise StoreRefused(
                f"{self.path} was written by an fmq from before its first release (schema {self._version()}): it was left "
                "untouched; drain it with that version, or keep it aside with: fmq set-aside"
            )

    def _check_integrity(self) -> None:
        size = self.path.stat().st_size
        if size > _CHECKED_BYTES:
            _log.info("The database has %d MiB: its integrity is not checked at every start", size // 1024**2)
            return
        found = [str(row[0]) for row in self.sql.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise StoreDamaged(_damage(self.path, " ".join(" ".join(found).split())))

    def _set_clock(self) -> float:
        """Set the store's time up: it runs like the steady clock and began, in this boot, at the wall clock's time.

        In a new boot steady times of the last one mean nothing: all leases are over (so are their holders) and
        all retries due.
        """
        boot = self._clock.boot_id()
        known = self.note("boot_id")
        offset = self.note("clock_offset")
        if known == boot and offset is not None:
            return float(offset)
        with self.write():
            if self.note("boot_id") == boot:
                return float(self.note("clock_offset") or 0.0)
            fresh = self._clock.wall() - self._clock.steady()
            self.set_note("boot_id", boot)
            self.set_note("clock_offset", repr(fresh))
            now = fresh + self._clock.steady()
            for (table,) in self.rows("SELECT table_name FROM fmq_queue"):
                self.sql.execute(f"UPDATE {schema.lent_table(table)} SET due_at = ?1 WHERE due_at > ?1", (now,))
        return fresh

    def now(self) -> float:
        """The store's time in seconds: steady within a boot, near to Unix time."""
        return self._clock.steady() + self._offset

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._clock.wall()

    @property
    def clock(self) -> Clock:
        return self._clock

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """A write transaction: takes the lock at once, commits at the end, rolls back on any error.

        A deferred one would get SQLITE_BUSY at its first write, whatever the timeout, if another wrote meanwhile.
        """
        with _told(self.path):
            self.sql.execute("BEGIN IMMEDIATE")
            try:
                yield self.sql
                self.sql.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):  # some errors have rolled back already
                    self.sql.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Statements that only read, with their errors told as fmq's."""
        with _told(self.path):
            yield self.sql

    def rows(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement, read before anything else runs."""
        return self.sql.execute(statement, values).fetchall()

    def table(self, queue: str) -> str:
        """The name, quoted for SQL, of the queue's table. Raises UnknownQueue."""
        return quoted(self.bare_table(queue))

    def lent(self, queue: str) -> str:
        """The name, quoted for SQL, of the table of what was lent of the queue. Raises UnknownQueue."""
        return schema.lent_table(self.bare_table(queue))

    def bare_table(self, queue: str) -> str:
        """The name of the queue's table. Raises UnknownQueue."""
        known = self._tables.get(queue)
        if known is None:
            row = self.sql.execute("SELECT table_name FROM fmq_queue WHERE name = ?", (queue,)).fetchone()
            if row is None:
                raise UnknownQueue(f"there is no queue {queue!r} in {self.path}: has its listener run yet?")
            known = self._tables[queue] = str(row[0])
        return known

    def note(self, key: str) -> str | None:
        """A note's text, or None."""
        row = self.sql.execute("SELECT value FROM fmq_note WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, key: str, value: str) -> None:
        """Write a note. Within ``write``."""
        self.sql.execute(
            "INSERT INTO fmq_note VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value)
        )

    def close(self) -> None:
        with _told(self.path):
            self.sql.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as fmq's."""
    try:
        yield
    except _DAMAGED as error:
        raise StoreDamaged(_damage(path, str(error))) from error
    except _UNAVAILABLE as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def _damage(path: Path, what: str) -> str:
    return (
        f"{path} is damaged or no SQLite database ({what}): it was left untouched. Restore a backup, or keep it aside "
        f"and begin a new one with: fmq set-aside"
    )


def _make_private_file(path: Path) -> None:
    """Make the file before SQLite does: not for everybody to read. Its -wal and -shm take the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o660))
    except FileExistsError:
        pass  # as usual
    except OSError as error:
        raise StoreRefused(f"{path} can't be made: {error.strerror}") from error
