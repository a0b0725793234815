"""Retention, space and the write-ahead log, in steps that never hold the write lock for long."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress

import apsw

from fmq.errors import UnknownQueue
from fmq.store.options import Retention
from fmq.store.sqlite.codec import NUMBER
from fmq.store.sqlite.database import Database

_log = logging.getLogger(__name__)
_CHUNKS = 50
_QUEUES = 16
"""The number of queues that a step looks at."""
_SPARE_PAGES = 2_048
_VACUUM_PAGES = 512
_WAL_SOFT_BYTES = 8 * 1024 * 1024
_WAL_HARD_BYTES = 64 * 1024 * 1024
_BRIEFLY_MS = 50
_LAST_ID = 2**63 - 1
_SHORTEST_MARK_SECONDS = 1.0

_MARKS = 64
"""The number of marks per retention period: the sweep may look at one such part more than it deletes from."""
# In the store's time. A row that somebody inserted as handled has only its date.
_AGED = f"coalesce(changed_at, {NUMBER.format('received_at')} - :shift)"
_PAST = f"processed = 1 AND {_AGED} <= iif(dead_at IS NULL, :done, :dead)"


class Upkeep:
    """Does one step of upkeep at a time. Remembers how far the sweep through each table has come."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept: dict[str, int] = {}
        self._last_name = ""

    def step(
        self, names: Sequence[str], retention: Retention, limit: int, on_discarded: Callable[[str, int], None] | None
    ) -> int:
        """See Upkeep.maintain."""
        self._database.see_if_set()
        deleted = self._forget_keys(limit)
        for name in self._next(names):
            with suppress(UnknownQueue):  # deleted meanwhile
                if self._is_empty(name):
                    continue
                self._mark(name, retention)
                done, dead = self._sweep(name, retention, limit)
                deleted += done + dead
                if dead and on_discarded is not None:
                    on_discarded(name, dead)
        if not deleted:
            self._give_space_back()
        self._checkpoint()
        return deleted

    def _next(self, names: Sequence[str]) -> Sequence[str]:
        """Of many queues, some in each step, in turn: what a step costs does not grow with their number."""
        if len(names) <= _QUEUES:
            return names
        start = bisect_right(names, self._last_name)
        some = [*names[start:], *names[:start]][:_QUEUES]
        self._last_name = some[-1]
        return some

    def _is_empty(self, name: str) -> bool:
        """Whether the queue has no row, as most of thousands: it needs no mark then, which is a commit."""
        with self._database.read():
            if self._database.rows(f"SELECT 1 FROM {self._database.table(name)} LIMIT 1"):
                return False
        self._swept.pop(name, None)
        return True

    def _mark(self, name: str, retention: Retention) -> None:
        """Record the largest id from time to time: a message with a larger one came later, whatever its date says."""
        periods = [one for one in (retention.done_seconds, retention.dead_seconds) if one is not None]
        if not periods:
            return
        every = max(_SHORTEST_MARK_SECONDS, min(periods) / _MARKS)
        now = self._database.now()
        with self._database.read():
            last = self._database.rows("SELECT max(at) FROM fmq_mark WHERE queue = ? AND at <= ?", (name, now))[0][0]
        if last is not None and now < last + every:
            return
        with self._database.write():
            now = self._database.now()
            self._database.rows("DELETE FROM fmq_mark WHERE queue = ? AND at <= ?", (name, now - min(periods)))
            self._database.rows(
                "INSERT OR REPLACE INTO fmq_mark (queue, at, last_id) "
                f"SELECT ?, ?, ifnull(max(id), 0) FROM {self._database.table(name)}",
                (name, now),
            )

    def _sweep(self, name: str, retention: Retention, limit: int) -> tuple[int, int]:
        """Delete up to ``limit`` rows past retention. Returns how many were done, and how many were dead letters.

        Walks along the ids, one chunk at a time, without an index for which every settlement would pay. Takes the write lock
        only for a chunk with something to delete. Stops at the first mark within retention.
        """
        never = float("-inf")
        with self._database.read():
            values: dict[str, float] = {
                "done": never if retention.done_seconds is None else self._database.ago(retention.done_seconds),
                "dead": never if retention.dead_seconds is None else self._database.ago(retention.dead_seconds),
                "shift": self._database.shift,
                "limit": limit,
            }
        table = self._database.table(name)
        for _ in range(_CHUNKS):
            after = values["after"] = self._swept.get(name, 0)
            with self._database.read():
                last, past = self._database.rows(
                    f"SELECT max(id), count(*) FILTER (WHERE {_PAST}) FROM "
                    f"(SELECT id, received_at, changed_at, dead_at, processed FROM {table} WHERE id > :after AND id <= ifnull("
                    "(SELECT last_id FROM fmq_mark WHERE queue = :name AND at > max(:done, :dead) ORDER BY at LIMIT 1), :end) "
                    "ORDER BY id LIMIT :limit)",
                    {**values, "name": name, "end": _LAST_ID},
                )[0]
            if past:
                self._swept[name] = last
                with self._database.write():
                    gone = self._database.rows(
                        f"DELETE FROM {table} WHERE id > :after AND id <= :last AND {_PAST} RETURNING dead_at IS NOT NULL",
                        {**values, "last": last},
                    )
                dead = sum(is_dead for (is_dead,) in gone)
                return len(gone) - dead, dead
            if last is None:
                # Nothing later can be past retention: start over, at once if this sweep left something out.
                self._swept[name] = 0
                if not after:
                    break
            else:
                self._swept[name] = last
        return 0, 0

    def _forget_keys(self, limit: int) -> int:
        """Delete up to ``limit`` expired keys."""
        now = self._database.now()
        with self._database.read():
            if not self._database.rows("SELECT 1 FROM fmq_key WHERE expires_at <= ? LIMIT 1", (now,)):
                return 0
        with self._database.write() as sql:
            sql.execute(
                "DELETE FROM fmq_key WHERE (queue, key) IN "
                "(SELECT queue, key FROM fmq_key WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
                (now, limit),
            )
            return sql.changes()

    def _give_space_back(self) -> None:
        """Shrink the file if much of it is free. Some space stays, since a queue that was full once will be full again."""
        with self._database.read() as sql:
            spare = sql.pragma("freelist_count") - _SPARE_PAGES
            much = spare > sql.pragma("page_count") // 4
        if spare > 0 and much:
            with self._database.write() as sql:
                sql.execute(f"PRAGMA incremental_vacuum({min(spare, _VACUUM_PAGES)})").fetchall()

    def _checkpoint(self) -> None:
        """Checkpoint the write-ahead log. If a long reader has let it grow, restart it when that reader is gone."""
        wal = self._database.path.with_name(self._database.path.name + "-wal")
        try:
            size = wal.stat().st_size
        except FileNotFoundError:
            return
        if size < _WAL_SOFT_BYTES:
            return
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE if size < _WAL_HARD_BYTES else apsw.SQLITE_CHECKPOINT_TRUNCATE
        with self._database.read() as sql:
            usual = sql.pragma("busy_timeout")
            try:
                sql.set_busy_timeout(_BRIEFLY_MS)  # writers wait meanwhile
                sql.wal_checkpoint(mode=mode)
            except apsw.BusyError:
                _log.debug("The write-ahead log is in use: it stays at %d bytes for now", size)
            finally:
                sql.set_busy_timeout(usual)
