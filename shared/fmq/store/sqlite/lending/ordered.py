"""Ordered claims: the oldest unsettled message of each topic, and no other until it is settled."""

from collections.abc import Sequence

from fmq.store.sqlite.attempts import worker_died
from fmq.store.sqlite.codec import held_bytes
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.schema.tables import claims_index, topic_index


class OrderedTopics:
    """Finds the messages that may be lent in order. Remembers the topic where the last claim ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last_topic: dict[str, bytes] = {}

    def heads(
        self, name: str, limit: int, now: float, most_bytes: int | None, route: str | None
    ) -> tuple[Sequence[int], bool, bool]:
        """The ids to lend, whether they are one suspect, and whether its lease ran out just now.

        Goes round the topics, starting after the last one.

        What is set aside for ``route`` counts as due. Each topic is one step in the index, so that the cost grows with the topics that wait, not with the backlog.
        Within a write transaction.
        """
        after = self._last_topic.get(name)
        rows = self._due_heads(name, limit, now, route, above=after, upto=None)
        if len(rows) < limit and after is not None:
            rows += self._due_heads(name, limit - len(rows), now, route, above=None, upto=after)
        suspects = [position for position, (_, _, _, suspect, _) in enumerate(rows) if suspect]
        if suspects:
            # Alone if it is the first. Otherwise the messages before it; the next claim starts with it.
            rows = rows[: suspects[0] or 1]
        if rows:
            self._last_topic[name] = rows[-1][1]
        is_suspect = suspects[:1] == [0]
        ids = _within([(number, size) for number, _, _, _, size in rows], most_bytes)
        return ids, is_suspect, is_suspect and bool(rows[0][2])

    def _due_heads(
        self, name: str, limit: int, now: float, route: str | None, *, above: bytes | None, upto: bytes | None
    ) -> list[tuple[int, bytes, bool, bool, int]]:
        bare = self._database.bare_table(name)
        table = f"{self._database.table(name)} INDEXED BY {topic_index(bare)}"
        lent = self._database.lent(name)
        died = worker_died(self._database.table(name), self._database.attempts(name), "head.id")
        first = ">=" if above is None else ">"
        # Topics are compared as bytes: an INSERT from outside fmq may have written one that is not UTF-8.
        return self._database.rows(
            f"""
            WITH RECURSIVE waiting (topic) AS (
                SELECT (SELECT min(topic) FROM {table} WHERE processed = 0 AND topic {first} CAST(:above AS TEXT))
                UNION ALL
                SELECT (SELECT min(topic) FROM {table} WHERE processed = 0 AND topic > waiting.topic)
                FROM waiting WHERE topic IS NOT NULL AND (:upto IS NULL OR topic < CAST(:upto AS TEXT))
            ),
            busy (topic) AS MATERIALIZED (
                SELECT topic FROM {lent} AS out INDEXED BY {claims_index(bare)}
                JOIN {self._database.table(name)} AS message ON message.id = out.id
                WHERE out.token IS NOT NULL AND out.due_at > :now
            )
            SELECT head.id, CAST(head.topic AS BLOB), lent.token IS NOT NULL, lent.token IS NOT NULL OR {died}, {held_bytes("head")}
            FROM waiting JOIN {self._database.table(name)} AS head ON head.id = (
                SELECT min(id) FROM {table} WHERE processed = 0 AND topic = waiting.topic
            )
            LEFT JOIN {lent} AS lent ON lent.id = head.id
            WHERE (ifnull(lent.due_at, 0) <= :now OR lent.parked = :route) AND (:upto IS NULL OR head.topic <= CAST(:upto AS TEXT))
            AND head.topic NOT IN (SELECT topic FROM busy)
            LIMIT :limit
            """,
            {"above": above or b"", "upto": upto, "now": now, "limit": limit, "route": route},
        )


def _within(sizes: list[tuple[int, int]], most_bytes: int | None) -> list[int]:
    """The first ids whose messages take at most ``most_bytes`` together, and one at least."""
    ids = [number for number, _ in sizes]
    if most_bytes is None:
        return ids
    total = 0
    for count, (_, size) in enumerate(sizes):
        total += size
        if total > most_bytes:
            return ids[: count or 1]
    return ids
