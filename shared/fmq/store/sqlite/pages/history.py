"""The counters of all queues at the end of each minute of the last day."""

from collections.abc import Callable, Sequence

from fmq.message import QueueStats
from fmq.store.minutes import KEPT, decode_minutes, encode_minute
from fmq.store.records import Minute
from fmq.store.sqlite.part import Part

_ALL = "SELECT minute, CAST(data AS BLOB) FROM fmq_minute WHERE minute >= :since ORDER BY minute"
_ONE = """
    SELECT minute, CASE WHEN json_valid(text) AND json_type(text) = 'object' THEN
        (SELECT json_group_object(key, json(value)) FROM json_each(text) WHERE key = :name AND type = 'array')
    END FROM (SELECT minute, CAST(data AS TEXT) AS text FROM fmq_minute WHERE minute >= :since) ORDER BY minute"""


class HistoryPart(Part):
    """One row per minute for all queues, written by the service that does the upkeep."""

    _noted = -1

    def _note_minute(self, stats: Callable[[], Sequence[QueueStats]]) -> bool:
        """Record the minute that has just ended, with the counters of the first look after it."""
        now = self._database.wall()
        current = int(now // 60)
        if current == self._noted:
            return False
        data = encode_minute(stats(), now)
        with self._database.write() as sql:
            # A clock that was set back must not fill the ring with minutes that come again.
            self._database.rows(
                "DELETE FROM fmq_minute WHERE minute <= ?1 OR minute >= ?2", (current - 1 - KEPT, current)
            )
            self._database.rows("INSERT OR IGNORE INTO fmq_minute (minute, data) VALUES (?, ?)", (current - 1, data))
            is_new = bool(sql.changes())
        self._noted = current
        return is_new

    def history(self, *, since: int = 0, name: str | None = None) -> Sequence[Minute]:
        with self._database.read():
            rows = self._database.rows(_ALL if name is None else _ONE, {"since": since, "name": name})
        return decode_minutes(rows, name)
