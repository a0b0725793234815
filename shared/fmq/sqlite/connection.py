"""One connection: opening it, its transactions, its clock. Nothing else begins, commits or rolls back."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import apsw
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from fmq.clock import Clock
from fmq.errors import QueueError, StoreDamaged, StoreRefused, UnknownQueue
from fmq.queue import StoreOptions
from fmq.sqlite import guard, schema, timekeeping
from fmq.sqlite.codec import ANY_COLUMNS, MESSAGE_COLUMNS
from fmq.sqlite.names import quoted
from fmq.sqlite.presence import Presence
from fmq.sqlite.translating import damage, translated

_log = logging.getLogger(__name__)
_CHECKED_BYTES = 256 * 1024 * 1024
_PAGE_BYTES = 8_192
_CACHE_BYTES = 8 * 1024 * 1024  # a large batch fits, so that none of its pages is written twice
_WAL_LIMIT_BYTES = 64 * 1024 * 1024


class Store:
    """An open database of fmq's. ``sql`` runs statements; those that write belong into ``with write():``."""

    def __init__(self, path: Path, options: StoreOptions, clock: Clock) -> None:
        guard.require_fixed_library(guard.library_version())
        guard.require_good_place(path)
        self.path = path
        self._clock = clock
        self._time = timekeeping.StoreTime(clock)
        self.now: Callable[[], float] = self._time.now
        """The store's time in seconds: steady within a boot, and going on over the next one."""
        self._tables: dict[str, str] = {}
        self._presence: Presence | None = None
        _make_private_file(path)
        with translated(path):
            self.sql = apsw.Connection(str(path))
        try:
            with translated(path):
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
        self._set_clock()
        self._presence = Presence(self.path)

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
            raise StoreDamaged(damage(self.path, " ".join(" ".join(found).split())))

    def _set_clock(self) -> None:
        """Go on with the store's time. In a new boot all leases are over: so are their holders."""
        if self._same_boot():
            return
        with self.write():
            if self._same_boot():
                return
            self._time.begin(self.note(timekeeping.SEEN))
            self.set_note(timekeeping.BOOT, self._clock.boot_id())
            self.set_note(timekeeping.OFFSET, repr(self._time.offset))
            self.see_clocks()
            for (table,) in self.rows("SELECT table_name FROM fmq_queue WHERE typeof(name) = 'text'"):
                self.rows(
                    f"UPDATE {schema.lent_table(table)} SET due_at = ?1 WHERE token IS NOT NULL AND due_at > ?1",
                    (self.now(),),
                )

    def _same_boot(self) -> bool:
        offset = timekeeping.number(self.note(timekeeping.OFFSET))
        if offset is None or self.note(timekeeping.BOOT) != self._clock.boot_id():
            return False
        self._time.go_on(offset, self.note(timekeeping.SEEN))
        return True

    def see_clocks(self) -> None:
        """Note both clocks, for the next boot to go on from. Within ``write``."""
        stood = self._time.stood(self.note(timekeeping.SEEN), self.note(timekeeping.STOOD))
        if stood is not None:
            self.set_note(timekeeping.STOOD, stood)
        self.set_note(timekeeping.SEEN, self._time.see())

    def see_if_set(self) -> None:
        """Note both clocks if somebody has set the wall clock. Begins a transaction of its own."""
        if self._time.was_set:
            with self.write():
                self.see_clocks()

    def ago(self, seconds: float) -> float:
        """The moment of the store's time that lies ``seconds`` back."""
        return self._time.ago(seconds, self.note(timekeeping.STOOD))

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._time.wall()

    @property
    def shift(self) -> float:
        """Seconds that turn a moment of the store's time into Unix time."""
        return self._time.shift

    @property
    def clock(self) -> Clock:
        return self._clock

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """A write transaction: takes the lock at once, commits at the end, rolls back on any error.

        A deferred one would get SQLITE_BUSY at its first write, whatever the timeout, if another wrote meanwhile.
        """
        with translated(self.path):
            self.sql.execute("BEGIN IMMEDIATE")
            try:
                yield self.sql
                self.sql.execute("COMMIT")
            except BaseException:
                with suppress(apsw.Error):  # some errors have rolled back already
                    self.sql.execute("ROLLBACK")
                raise
            if self._presence and monotonic() >= self._presence.look_at:
                self._presence.require_until_next()

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Statements that only read, with their errors told as fmq's."""
        with translated(self.path):
            if self._presence and monotonic() >= self._presence.look_at:
                self._presence.require_until_next()
            yield self.sql

    def require_presence(self) -> None:
        """Raise StoreRefused if the path names other files than those that are open, so that a commit is lost."""
        if self._presence:
            with translated(self.path):
                self._presence.require()

    def rows(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement, read before anything else runs."""
        return self.sql.execute(statement, values).fetchall()

    def messages(self, queue: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """The rows of these messages, as ``decode_message`` takes them."""
        statement = f"FROM {self.table(queue)} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        values = (json.dumps(list(ids)),)
        try:
            return self.rows(f"SELECT {MESSAGE_COLUMNS} {statement}", values)
        except UnicodeDecodeError:  # somebody's own INSERT
            return self.rows(f"SELECT {ANY_COLUMNS} {statement}", values)

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
            with translated(self.path):
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
        if self._presence:
            with suppress(QueueError):
                self.see_if_set()
        with translated(self.path):
            self.sql.close()


def _make_private_file(path: Path) -> None:
    """Make the file before SQLite does: not for everybody to read. Its -wal and -shm take the same mode."""
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o660))
    except FileExistsError:
        pass  # another process was faster
    except OSError as error:
        raise StoreRefused(f"{path} can't be made: {error.strerror}") from error
