"""Figures for metrics and pages, each in constant time."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from fmq.errors import UnknownQueue
from fmq.message import QueueStats, StoreStats
from fmq.store.sqlite.codec import NUMBER, as_count, as_pause
from fmq.store.sqlite.part import Part

_COUNTERS = "stored, pending, claimed, done, dead, handled, failed, died"
# After the counters: receipt of the first message that was never lent, and of the oldest one that waits again; the earliest time at
# which one that was lent became due; receipt of one that has no such time; whether any is set aside for a route.
_STATS = """
    SELECT {counters}, paused_at, CAST(paused_reason AS BLOB),
        (SELECT {received} FROM {table} AS message WHERE id > head AND processed = 0
            AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT 1),
        (SELECT {oldest} FROM (SELECT min(received_at) AS oldest FROM {lent} WHERE token IS NULL)),
        (SELECT due_at FROM {lent} WHERE due_at > 0 AND due_at <= :now ORDER BY due_at LIMIT 1),
        (SELECT {received} FROM {lent} WHERE due_at <= 0 ORDER BY due_at, id LIMIT 1),
        EXISTS (SELECT 1 FROM {lent} WHERE parked IS NOT NULL)
    FROM fmq_queue WHERE name = :name
"""
# A step from route to route: the cost grows with the routes, and not with what is set aside for them.
_PARKED = """
    WITH RECURSIVE route (name) AS (
        SELECT min(parked) FROM {lent} WHERE parked IS NOT NULL
        UNION ALL SELECT (SELECT min(parked) FROM {lent} WHERE parked > name) FROM route WHERE name IS NOT NULL
    )
    SELECT min((SELECT {received} FROM {lent} WHERE parked = name ORDER BY id LIMIT 1)) FROM route
"""


class FiguresPart(Part):
    """The role Statistics, without what pages read."""

    def stats(self, name: str) -> QueueStats:
        database = self._database
        with database.read():
            statement = _statement(_STATS, database.table(name), database.lent(name))
            rows = database.rows(statement, {"name": name, "now": database.now()})
            if not rows:
                database.of_queue(name, "name")  # raises
            *counters, paused_at, reason, fresh, waiting, due_at, without, is_parked = rows[0]
            parked = self._parked(name) if is_parked else None
        stored, pending, claimed, done, dead, handled, failed, died = map(as_count, counters)
        return QueueStats(
            name,
            stored,
            pending,
            claimed,
            done,
            dead,
            _earliest(fresh, waiting),
            as_pause(paused_at, reason),
            handled=handled,
            failed=failed,
            died=died,
            oldest_due_at=_earliest(fresh, without, parked, None if due_at is None else due_at + database.shift),
        )

    def _parked(self, name: str) -> float | None:
        rows = self._database.rows(_statement(_PARKED, "", self._database.lent(name)))
        found: float | None = rows[0][0]
        return found

    def all_stats(self) -> Sequence[QueueStats]:
        found = []
        with self._database.read():
            names = self._database.rows("SELECT name FROM fmq_queue WHERE typeof(name) = 'text' ORDER BY name")
        for (name,) in names:
            with suppress(UnknownQueue):  # deleted meanwhile
                found.append(self.stats(name))
        return found

    def retrying(self, name: str, *, most: int = 10_000) -> int:
        with self._database.read():
            return int(
                self._database.rows(
                    f"SELECT count(*) FROM (SELECT parked FROM {self._database.lent(name)} WHERE due_at > ? AND token IS NULL "
                    "ORDER BY due_at LIMIT ?) WHERE parked IS NULL",
                    (self._database.now(), most),
                )[0][0]
            )

    def last_received_at(self, name: str) -> float | None:
        with self._database.read():
            table = self._database.table(name)
            rows = self._database.rows(
                f"SELECT {NUMBER.format('received_at')} FROM {table} WHERE id = (SELECT max(id) FROM {table})"
            )
        return rows[0][0] if rows else None

    def store_stats(self) -> StoreStats:
        path = self._database.path
        wal = path.with_name(path.name + "-wal")
        with self._database.read():
            self._database.require_files()
            disk = os.statvfs(path.parent)
            return StoreStats(
                database_bytes=path.stat().st_size,
                wal_bytes=wal.stat().st_size if wal.exists() else 0,
                free_disk_bytes=disk.f_bavail * disk.f_frsize,
            )

    def server_state(self) -> None:
        """SQLite has no server."""

    def probe(self) -> None:
        # Really written, and more than a page: a full disk shows only when a file has to grow.
        with self._database.write():
            self._database.see_clocks()


@lru_cache(maxsize=4_096)
def _statement(template: str, table: str, lent: str) -> str:
    return template.format(
        counters=_COUNTERS,
        table=table,
        lent=lent,
        received=NUMBER.format("received_at"),
        oldest=NUMBER.format("oldest"),
    )


def _earliest(*times: Any) -> float | None:  # noqa: ANN401 - as rows have it
    return min((at for at in times if at is not None), default=None)
