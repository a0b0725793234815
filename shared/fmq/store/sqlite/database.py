"""One connection, its transactions and its clock. Nothing else begins, commits or rolls back."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import apsw
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from fmq.clock import Clock
from fmq.errors import NoStore, QueueError, StoreDamaged, StoreRefused
from fmq.store.options import StoreOptions
from fmq.store.recognition import Kind
from fmq.store.sqlite import timekeeping
from fmq.store.sqlite.codec import ANY_COLUMNS, MESSAGE_COLUMNS
from fmq.store.sqlite.file import location
from fmq.store.sqlite.file.checkpoints import LOG_PAGES, Checkpoints
from fmq.store.sqlite.file.open_files import OpenFiles
from fmq.store.sqlite.file.wakeup import ring
from fmq.store.sqlite.queue_tables import QueueTables
from fmq.store.sqlite.schema.migrations import migrate
from fmq.store.sqlite.schema.put_only import PutOnly
from fmq.store.sqlite.schema.recognition import recognize
from fmq.store.sqlite.schema.tables import lent_table
from fmq.store.sqlite.translating import damage, translated

_log = logging.getLogger(__name__)
_CHECKED_BYTES = 256 * 1024 * 1024
_PAGE_BYTES = 8_192
_MOST_OTHERS = 3
_CACHE_BYTES = 8 * 1024 * 1024  # a large batch fits, so that none of its pages is written twice
_MEMORY_MAP_BYTES = 256 * 1024 * 1024
_WAL_LIMIT_BYTES = 64 * 1024 * 1024


def _none_at(path: Path) -> str:
    """The text of the error: what is there instead, and the next command to try."""
    others = sorted(one.name for one in path.parent.glob("*.db") if location.looks_like_database(one))
    if others:
        hint = f"Did you mean {' or '.join(others[:_MOST_OTHERS])} in that folder? FMQ_QUEUE_URL names it"
    else:
        hint = "A listener creates it: fmq listen TOPIC. If it is elsewhere, name it with FMQ_QUEUE_URL"
    return f"the database {path} does not exist. {hint}"


class Database(QueueTables):
    """An open database. ``sql`` runs statements; those that write belong into ``with write():``."""

    def __init__(self, path: Path, options: StoreOptions, clock: Clock, *, create: bool = True) -> None:
        super().__init__()
        location.require_fixed_library(location.library_version())
        if not create and not location.is_there(path):
            raise NoStore(_none_at(path))
        location.require_good_place(path)
        self.path = path
        self.folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - a text, which the system calls take fastest
        """Where SQLite keeps the file, if ``path`` is a link to it."""
        self._clock = clock
        self._time = timekeeping.StoreTime(clock)
        self.now: Callable[[], float] = self._time.now
        """The store's time in seconds: steady within a boot, and continued in the next one."""
        self._files: OpenFiles | None = None
        self._put_only: PutOnly | None = None
        self._checkpoints: Checkpoints | None = None
        flags = apsw.SQLITE_OPEN_READWRITE
        if create:
            location.make_private_file(path)
            flags |= apsw.SQLITE_OPEN_CREATE
        with translated(path):
            self.sql = apsw.Connection(str(path), flags=flags)
        try:
            with translated(path):
                self._prepare(options, create=create)
        except BaseException:
            self.sql.close()
            raise

    def _prepare(self, options: StoreOptions, *, create: bool) -> None:
        sql = self.sql
        sql.set_busy_timeout(round(options.busy_seconds * 1000))
        # Only reads come first: a database that is refused is not changed by a byte.
        found = recognize(sql)
        if why := found.refusal(str(self.path)):
            raise StoreRefused(why)
        if found.kind is Kind.EMPTY and not create:
            raise NoStore(_none_at(self.path))
        if options.check_integrity:
            self._check_integrity()
        if not sql.pragma("page_count"):
            # Both have to be set before the first table is created. Larger pages: docs/adr/0011.
            sql.pragma("page_size", _PAGE_BYTES)
            sql.pragma("auto_vacuum", "INCREMENTAL")
        mode: object = None
        for attempt in Retrying(
            # The change to WAL ignores the busy timeout.
            retry=retry_if_exception_type(apsw.BusyError),
            stop=stop_after_delay(options.busy_seconds),
            wait=wait_random_exponential(0.01, max=0.25),
            reraise=True,
        ):
            with attempt:
                mode = sql.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise StoreRefused(f"{self.path} can't use WAL mode (it stays in {mode}). Is its file system special?")
        sql.pragma("synchronous", options.durability.value)
        sql.pragma("cache_size", -_CACHE_BYTES // 1024)  # in KiB, as its sign says
        sql.pragma("mmap_size", options.tuning.get("memory_map_bytes", _MEMORY_MAP_BYTES))
        sql.pragma("journal_size_limit", _WAL_LIMIT_BYTES)
        sql.pragma("wal_autocheckpoint", LOG_PAGES)
        sql.pragma("temp_store", "MEMORY")
        if recognize(sql).kind is not Kind.CURRENT:
            with self.write():
                migrate(sql, recognize(sql).version)
        self._set_clock()
        self._files = OpenFiles(self.path)
        if options.only_puts:
            self._put_only = PutOnly(sql)
            self._checkpoints = Checkpoints(sql, self.path)  # last: nothing would end its thread if another step failed

    def _check_integrity(self) -> None:
        size = self.path.stat().st_size
        if size > _CHECKED_BYTES:
            _log.info("The database has %d MiB. Skipping the integrity check at start", size // 1024**2)
            return
        found = [str(row[0]) for row in self.sql.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise StoreDamaged(damage(self.path, " ".join(" ".join(found).split())))

    def _set_clock(self) -> None:
        """Continue the store's time. In a new boot all leases are over, since their holders are gone."""
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
                    f"UPDATE {lent_table(table)} SET due_at = ?1 WHERE token IS NOT NULL AND due_at > ?1",
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
            except BaseException as error:
                with suppress(apsw.Error):  # some errors have rolled back already
                    self.sql.execute("ROLLBACK")
                if isinstance(error, apsw.SQLError):
                    self.require_queues(error)
                raise
            if self._files and monotonic() >= self._files.look_at:
                self._files.require_until_next()
                if self._put_only:
                    self._put_only.look()

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Statements that only read, with their errors told as fmq's."""
        with translated(self.path):
            if self._files and monotonic() >= self._files.look_at:
                self._files.require_until_next()
            try:
                yield self.sql
            except apsw.SQLError as error:
                self.require_queues(error)
                raise

    @contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """The same, for several statements that have to see one state."""
        with self.read() as sql, sql:
            yield sql

    def wake_others(self) -> None:
        """Tell those who wait that messages are available. After the commit."""
        ring(self.folder)

    def require_files(self) -> None:
        """Raise StoreRefused if the path names other files than those that are open, so that a commit is lost."""
        if self._files:
            with translated(self.path):
                self._files.require()

    def messages(self, queue: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """The rows of these messages, as ``decode_message`` takes them."""
        statement = f"FROM {self.table(queue)} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        values = (json.dumps(list(ids)),)
        try:
            return self.rows(f"SELECT {MESSAGE_COLUMNS} {statement}", values)
        except UnicodeDecodeError:  # somebody's own INSERT
            return self.rows(f"SELECT {ANY_COLUMNS} {statement}", values)

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
        if self._files:
            with suppress(QueueError):
                self.see_if_set()
        if self._checkpoints:
            self._checkpoints.close()
        with translated(self.path):
            self.sql.close()
