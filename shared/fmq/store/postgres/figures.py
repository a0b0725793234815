"""Figures for metrics and pages, each in constant time."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from fmq.errors import UnknownQueue
from fmq.message import QueueStats, StoreStats
from fmq.store.postgres.codec import decode_pause
from fmq.store.postgres.part import Part
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.state import read_state
from fmq.store.postgres.statements import statement
from fmq.store.records import ServerState

_T = TypeVar("_T")
_KEPT_SECONDS = 15.0
_COUNTERS = ("stored", "pending", "claimed", "done", "dead", "handled", "failed", "died")
_SUMS = ", ".join(f"sum({one})::bigint" for one in _COUNTERS)
# The first unsettled message that is not lent is the oldest: ids follow the order of arrival.
_OLDEST = """
    (SELECT received_at FROM fmq_msg_{q} WHERE id = (SELECT id FROM fmq_due_{q} WHERE token IS NULL ORDER BY id LIMIT 1))
"""
# What waits, and what its worker has left, in the order in which it is lent; and the first one that is set aside for each route,
# in steps from route to route.
_DUE = """
    least(
        (SELECT due_at FROM fmq_due_{q} WHERE token IS NULL AND due_at <= {now} ORDER BY due_at, id LIMIT 1) + %(shift)s,
        (SELECT leased FROM (SELECT token, leased FROM fmq_due_{q} WHERE due_at <= {now} AND (token IS NULL OR leased <= {now})
            ORDER BY due_at, id LIMIT 1) AS first WHERE token IS NOT NULL) + %(shift)s,
        (WITH RECURSIVE route (name) AS (
            SELECT min(parked) FROM fmq_due_{q} WHERE parked IS NOT NULL
            UNION ALL
            SELECT (SELECT min(parked) FROM fmq_due_{q} WHERE parked > route.name) FROM route WHERE route.name IS NOT NULL
        ) SELECT min((SELECT received_at FROM fmq_msg_{q} WHERE id = (
            SELECT id FROM fmq_due_{q} WHERE parked = route.name ORDER BY id LIMIT 1))) FROM route)
    )
"""
_STATS = f"""
    SELECT {_SUMS}, (SELECT paused_at FROM fmq_queue WHERE number = {{q}}),
        (SELECT paused_reason FROM fmq_queue WHERE number = {{q}}), {_OLDEST}, {_DUE}
    FROM fmq_count WHERE queue = {{q}}
"""
_ALL = f"""
    SELECT queue.name, {_SUMS}, queue.paused_at, queue.paused_reason
    FROM fmq_queue AS queue JOIN fmq_count AS sums ON sums.queue = queue.number GROUP BY queue.number
""".encode()
_TIMES = f"SELECT {_OLDEST}, {_DUE}"
_RETRYING = (
    "SELECT count(*) FROM (SELECT parked FROM fmq_due_{q} WHERE due_at > {now} AND token IS NULL ORDER BY due_at LIMIT %(most)s) "
    "AS waiting WHERE parked IS NULL"
)
_NEWEST = "SELECT received_at FROM fmq_msg_{q} ORDER BY id DESC LIMIT 1"
_SIZE = b"SELECT pg_database_size(current_database())"
_PROBE = statement(
    "INSERT INTO fmq_note (digest, key, value) SELECT 'probe', 'probe', {wall}::text "
    "WHERE set_config('synchronous_commit', 'off', true) = 'off' "
    "ON CONFLICT (digest) DO UPDATE SET value = excluded.value"
)


class _Kept(Generic[_T]):
    """A figure of the server that takes it some work: read again at most every 15 seconds."""

    def __init__(self) -> None:
        self._found: tuple[float, _T] | None = None

    def value(self, read: Callable[[], _T]) -> _T:
        """What ``read`` returned last."""
        now = monotonic()
        if self._found is None or now >= self._found[0]:
            self._found = now + _KEPT_SECONDS, read()
        return self._found[1]


class FiguresPart(Part):
    """The role Statistics, without what pages read."""

    def __init__(self, queues: Queues) -> None:
        super().__init__(queues)
        self._size = _Kept[int]()
        self._state = _Kept[ServerState]()

    def stats(self, name: str) -> QueueStats:
        return _stats(name, self._queues.rows(_STATS, name, {"shift": self._session.moment().shift})[0])

    def all_stats(self) -> Sequence[QueueStats]:
        known = {row[0]: row[1:] for row in self._session.rows(_ALL)}
        numbers = {}
        for name in sorted(known):
            with suppress(UnknownQueue):
                numbers[name] = self._queues.number(name)
        if not numbers:
            return []
        values = {"shift": self._session.moment().shift}
        try:
            found = self._session.transaction([(statement(_TIMES, number), values) for number in numbers.values()])
        except UnknownQueue:  # deleted meanwhile
            return self.all_stats()
        return [_stats(name, (*known[name], *rows[0])) for name, rows in zip(numbers, found, strict=True)]

    def retrying(self, name: str, *, most: int = 10_000) -> int:
        return int(self._queues.rows(_RETRYING, name, {"most": most})[0][0])

    def last_received_at(self, name: str) -> float | None:
        rows = self._queues.rows(_NEWEST, name)
        return rows[0][0] if rows else None

    def store_stats(self) -> StoreStats:
        """The server's disk and log are not this host's: unknown."""
        size = self._size.value(lambda: int(self._session.rows(_SIZE)[0][0]))
        return StoreStats(database_bytes=size, wal_bytes=None, free_disk_bytes=None)

    def server_state(self) -> ServerState:
        return self._state.value(lambda: read_state(self._session.rows))

    def probe(self) -> None:
        """Does not wait for a standby: only commits of messages have to."""
        self._session.rows(_PROBE)


def _stats(name: str, row: tuple[Any, ...]) -> QueueStats:
    stored, pending, claimed, done, dead, handled, failed, died, paused_at, reason, oldest, due = row
    return QueueStats(
        name,
        stored,
        pending,
        claimed,
        done,
        dead,
        oldest,
        decode_pause(paused_at, reason),
        handled=handled,
        failed=failed,
        died=died,
        oldest_due_at=due,
    )
