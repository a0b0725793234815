"""The role Parking."""

from collections.abc import Mapping, Sequence

from fmq.store.sqlite.part import Part

# From name to name in the index, past all messages of each.
_NAMES = """
    WITH RECURSIVE route (name) AS (
        SELECT (SELECT min(parked) FROM {lent} WHERE parked IS NOT NULL)
        UNION ALL
        SELECT (SELECT min(parked) FROM {lent} WHERE parked > route.name) FROM route WHERE name IS NOT NULL
    )
    SELECT name FROM route WHERE name IS NOT NULL
"""


class ParkingPart(Part):
    """Messages that are set aside. ``parked`` of such a message is NULL once it is lent."""

    def parked(self, name: str, *, most: int = 10_000) -> Mapping[str, int]:
        lent = self._database.lent(name)
        with self._database.read():
            rows = self._database.rows(
                f"SELECT name, (SELECT count(*) FROM (SELECT due_at FROM {lent} WHERE parked = waiting.name LIMIT :most) "
                f"WHERE due_at > :now) FROM ({_NAMES.format(lent=lent)}) AS waiting",
                {"most": most, "now": self._database.now()},
            )
        return {route: count for route, count in rows if count}

    def release(self, name: str, *, but: Sequence[str] = (), limit: int = 1_000) -> int:
        lent = self._database.lent(name)
        released = 0
        with self._database.write() as sql:
            for (route,) in self._database.rows(_NAMES.format(lent=lent)):
                if route not in but and released < limit:
                    sql.execute(
                        f"UPDATE {lent} SET due_at = :now, parked = NULL "
                        f"WHERE id IN (SELECT id FROM {lent} WHERE parked = :route ORDER BY id LIMIT :limit)",
                        {"now": self._database.now(), "route": route, "limit": limit - released},
                    )
                    released += sql.changes()
        return released
