"""The counters of all queues at the end of each minute of the last day."""

from collections.abc import Callable, Sequence

import psycopg

from fmq.errors import QueueError
from fmq.message import QueueStats
from fmq.store.minutes import KEPT, decode_minutes, encode_minute
from fmq.store.postgres.part import Part
from fmq.store.postgres.statements import statement
from fmq.store.records import Minute

_WALL = statement("SELECT {wall}")
_FORGET = b"DELETE FROM fmq_minute WHERE minute <= %(current)s - 1 - %(kept)s OR minute >= %(current)s"
_KEEP = b"""
    INSERT INTO fmq_minute (minute, data) VALUES (%(current)s - 1, %(data)s) ON CONFLICT DO NOTHING RETURNING 1
"""
_READ = b"SELECT minute, data FROM fmq_minute WHERE minute >= %(since)s ORDER BY minute"
# Not all is json that somebody else may have written. The server refuses the whole statement then.
_READ_ONE = b"""
    SELECT minute, CASE WHEN json_typeof(part) = 'array' THEN json_build_object(%(name)s::text, part)::text ELSE '{}' END
    FROM (SELECT minute, data::json -> %(name)s::text AS part FROM fmq_minute WHERE minute >= %(since)s) AS minutes ORDER BY minute
"""


class HistoryPart(Part):
    """One row per minute for all queues, written by the service that does the upkeep."""

    _noted = -1

    def _note_minute(self, stats: Callable[[], Sequence[QueueStats]]) -> bool:
        """Record the minute that has just ended, with the counters of the first look after it."""
        now = float(self._session.rows(_WALL)[0][0])
        current = int(now // 60)
        if current == self._noted:
            return False
        values = {"current": current, "kept": KEPT, "data": encode_minute(stats(), now)}
        # A clock that was set back must not fill the ring with minutes that come again.
        _, kept = self._session.transaction([(_FORGET, values), (_KEEP, values)])
        self._noted = current
        return bool(kept)

    def history(self, *, since: int = 0, name: str | None = None) -> Sequence[Minute]:
        if name is None:
            return decode_minutes(self._session.rows(_READ, {"since": since}))
        try:
            return decode_minutes(self._session.rows(_READ_ONE, {"since": since, "name": name}), name)
        except QueueError as error:
            if not isinstance(error.__cause__, psycopg.DataError):
                raise
        return decode_minutes(self._session.rows(_READ, {"since": since}), name)
