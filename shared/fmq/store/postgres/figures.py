"""Figures for metrics and pages, each in constant time."""

from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

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
# The first unsettled message that is not lent is the oldest: ids follow the order of arrival.
_STATS = f"""
    SELECT {", ".join(f"sum({one})::bigint" for one in _COUNTERS)},
        (SELECT received_at FROM fmq_msg_{{q}} WHERE id = (
            SELECT id FROM fmq_due_{{q}} WHERE token IS NULL ORDER BY id LIMIT 1
        )),
        (SELECT paused_at FROM fmq_queue WHERE number = {{q}}), (SELECT paused_reason FROM fmq_queue WHERE number = {{q}})
    FROM fmq_count WHERE queue = {{q}}
"""
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
        row = self._queues.rows(_STATS, name)[0]
        stored, pending, claimed, done, dead, handled, failed, died, oldest, paused_at, reason = row
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
        )

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
