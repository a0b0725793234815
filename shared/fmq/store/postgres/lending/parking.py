"""The role Parking."""

from collections.abc import Mapping, Sequence

from fmq.store.postgres.codec import storable
from fmq.store.postgres.part import Part
from fmq.store.postgres.statements import NOTIFY, statement

# From name to name in the index, past all messages of each.
_NAMES = """
    WITH RECURSIVE route (name) AS (
        (SELECT parked FROM fmq_due_{q} WHERE parked IS NOT NULL ORDER BY parked LIMIT 1)
        UNION ALL
        SELECT (SELECT parked FROM fmq_due_{q} WHERE parked > route.name ORDER BY parked LIMIT 1)
        FROM route WHERE route.name IS NOT NULL
    )
"""
_PARKED = (
    _NAMES
    + """
    SELECT name, (
        SELECT count(*) FROM (SELECT due_at FROM fmq_due_{q} WHERE parked = route.name LIMIT %(most)s) AS these WHERE due_at > {now}
    ) FROM route WHERE name IS NOT NULL
"""
)
_RELEASE = (
    _NAMES
    + """
    , chosen AS (
        SELECT these.id FROM route, LATERAL (
            SELECT id FROM fmq_due_{q} WHERE parked = route.name AND token IS NULL ORDER BY id LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        ) AS these
        WHERE route.name IS NOT NULL AND route.name <> ALL (%(but)s::text[]) LIMIT %(limit)s
    ),
    released AS (
        UPDATE fmq_due_{q} AS due SET due_at = {now}, parked = NULL FROM chosen WHERE due.id = chosen.id RETURNING due.id
    )
    SELECT count(*) FROM released
"""
)


class ParkingPart(Part):
    """Messages that are set aside. ``parked`` of such a message is NULL once it is lent."""

    def parked(self, name: str, *, most: int = 10_000) -> Mapping[str, int]:
        return {route: count for route, count in self._queues.rows(_PARKED, name, {"most": most}) if count}

    def release(self, name: str, *, but: Sequence[str] = (), limit: int = 1_000) -> int:
        values = self._queues.values({"but": [storable(route) for route in but], "limit": limit})
        steps = [(statement(_RELEASE, self._queues.number(name)), values)]
        if self._queues.notifies():
            steps.append((NOTIFY.encode(), {"notify": True}))
        return int(self._session.transaction(steps)[0][0][0])
