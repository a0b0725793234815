"""Lending messages and settling them: each transition is one guarded statement."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fmq.message import Claim
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.sqlite.codec import MESSAGE_COLUMNS, decode_message
from fmq.sqlite.connection import Store
from fmq.sqlite.schema import ready_index, topic_index

# Every statement is guarded by the claim's token: a stale one changes no row.
_DONE = "processed = 1, token = NULL, settled_at = :wall, reason = NULL"
_BACK = "token = NULL, available_at = 0"


class Claims:
    """The lending half of a queue. Remembers, for ordered claims, at which topic the last one ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_topic: dict[str, str] = {}
        self._ordered_ready: set[str] = set()

    def claim(self, name: str, limit: int, *, lease: float, ordered: bool, most_bytes: int | None) -> Sequence[Claim]:
        """See Queue.claim."""
        store = self._store
        with store.read():
            if limit < 1 or not self._any_due(name):
                return []
        with store.write():
            # The time is read with the lock held: a wait for it does not eat into the lease.
            now = store.now()
            ids, suspect = (
                self._heads(name, limit, now, most_bytes)
                if ordered
                else self._longest_due(name, limit, now, most_bytes)
            )
            if not ids:
                return []
            token = store.rows("UPDATE fmq_token SET token = token + 1 RETURNING token")[0][0]
            rows = store.rows(
                f"UPDATE {store.table(name)} SET token = :token, available_at = :until, "
                "retry_count = retry_count + (token IS NOT NULL) "
                f"WHERE id IN (SELECT value FROM json_each(:ids)) RETURNING {MESSAGE_COLUMNS}",
                {"token": token, "until": now + lease, "ids": json.dumps(ids)},
            )
            fresh = len(rows) if not suspect else 0
            self._count(name, pending=-fresh, claimed=fresh)
        rows.sort()
        return [Claim(decode_message(name, row), token, now + lease, suspect) for row in rows]

    def _any_due(self, name: str) -> bool:
        return bool(
            self._store.rows(
                f"SELECT 1 FROM {self._store.table(name)} INDEXED BY {self._ready(name)} "
                "WHERE processed = 0 AND available_at <= ? LIMIT 1",
                (self._store.now(),),
            )
        )

    def _longest_due(self, name: str, limit: int, now: float, most_bytes: int | None) -> tuple[list[int], bool]:
        """The ids to lend, and whether they are one suspect."""
        # SQLite knows a payload's length from the row's header, without reading the payload.
        rows = self._store.rows(
            f"SELECT id, token IS NOT NULL, length(payload) FROM {self._store.table(name)} INDEXED BY {self._ready(name)} "
            "WHERE processed = 0 AND available_at <= ? ORDER BY available_at, id LIMIT ?",
            (now, limit),
        )
        if rows and rows[0][1]:
            return [rows[0][0]], True
        return _within([(number, size) for number, expired, size in rows if not expired], most_bytes), False

    def _heads(self, name: str, limit: int, now: float, most_bytes: int | None) -> tuple[list[int], bool]:
        """The oldest unsettled message of each topic, if it is due: going round the topics, from the last one on.

        Each topic is one step in the index, so that the cost grows with the topics that wait, not with the backlog.
        """
        self._index_topics(name)
        after = self._last_topic.get(name, "")
        rows = self._due_heads(name, limit, now, above=after, upto=None)
        if len(rows) < limit and after:
            rows += self._due_heads(name, limit - len(rows), now, above="", upto=after)
        suspects = [position for position, (_, _, expired, _) in enumerate(rows) if expired]
        if suspects:
            # Alone if it is the first; else what stands before it, and the next claim begins with it.
            rows = rows[: suspects[0] or 1]
        if rows:
            self._last_topic[name] = rows[-1][1]
        return _within([(number, size) for number, _, _, size in rows], most_bytes), suspects[:1] == [0]

    def _due_heads(
        self, name: str, limit: int, now: float, *, above: str, upto: str | None
    ) -> list[tuple[int, str, bool, int]]:
        table = f"{self._store.table(name)} INDEXED BY {topic_index(self._store.bare_table(name))}"
        return self._store.rows(
            f"""
            WITH RECURSIVE waiting (topic) AS (
                SELECT (SELECT min(topic) FROM {table} WHERE processed = 0 AND topic > :above)
                UNION ALL
                SELECT (SELECT min(topic) FROM {table} WHERE processed = 0 AND topic > waiting.topic)
                FROM waiting WHERE topic IS NOT NULL AND (:upto IS NULL OR topic < :upto)
            )
            SELECT head.id, head.topic, head.token IS NOT NULL, length(head.payload)
            FROM waiting JOIN {self._store.table(name)} AS head ON head.id = (
                SELECT min(id) FROM {table} WHERE processed = 0 AND topic = waiting.topic
            )
            WHERE head.available_at <= :now AND (:upto IS NULL OR head.topic <= :upto)
            LIMIT :limit
            """,
            {"above": above, "upto": upto, "now": now, "limit": limit},
        )

    def _index_topics(self, name: str) -> None:
        if name not in self._ordered_ready:
            table = self._store.bare_table(name)
            self._store.rows(
                f"CREATE INDEX IF NOT EXISTS {topic_index(table)} ON {self._store.table(name)} (topic, id) WHERE processed = 0"
            )
            self._ordered_ready.add(name)

    def _ready(self, name: str) -> str:
        return ready_index(self._store.bare_table(name))

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """See Queue.extend."""
        held: list[Claim] = []
        with self._store.write():
            until = self._store.now() + lease
            for (name, token), group in _by_token(claims).items():
                kept = self._update(name, token, group, "available_at = :until", {"until": until})
                held += [replace(claim, lease_until=until) for claim in group if claim.message.id in kept]
        return held

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> Sequence[Claim]:
        """See Queue.settle."""
        done: list[Claim] = []
        back: list[Claim] = []
        single: list[tuple[Claim, RetryLater | Dead]] = []
        for claim, settlement in settlements:
            match settlement:
                case Done():
                    done.append(claim)
                case GiveBack():
                    back.append(claim)
                case RetryLater() | Dead():
                    single.append((claim, settlement))
        stale: list[Claim] = []
        with self._store.write():
            wall, now = self._store.wall(), self._store.now()
            for claims, change, column in ((done, _DONE, "done"), (back, _BACK, "pending")):
                for (name, token), group in _by_token(claims).items():
                    changed = self._update(name, token, group, change, {"wall": wall})
                    self._count(name, claimed=-len(changed), **{column: len(changed)})
                    stale += [claim for claim in group if claim.message.id not in changed]
            for claim, settlement in single:
                change, values = _single_change(settlement, now=now, wall=wall)
                if not self._update(claim.message.queue, claim.token, [claim], change, values):
                    stale.append(claim)
                else:
                    column = "dead" if isinstance(settlement, Dead) else "pending"
                    self._count(claim.message.queue, claimed=-1, **{column: 1})
        return stale

    def _count(self, name: str, *, pending: int = 0, claimed: int = 0, done: int = 0, dead: int = 0) -> None:
        """Add to the counters: one statement a batch, where a trigger would be one a row."""
        self._store.sql.execute(
            "UPDATE fmq_queue SET pending = pending + ?, claimed = claimed + ?, done = done + ?, dead = dead + ? WHERE name = ?",
            (pending, claimed, done, dead, name),
        )

    def _update(
        self, name: str, token: int, claims: Sequence[Claim], change: str, values: dict[str, float | str]
    ) -> set[int]:
        """Apply ``change`` to the claims that still hold; the ids of those."""
        rows = self._store.sql.execute(
            f"UPDATE {self._store.table(name)} SET {change} "
            "WHERE id IN (SELECT value FROM json_each(:ids)) AND token = :token RETURNING id",
            {**values, "ids": json.dumps([claim.message.id for claim in claims]), "token": token},
        )
        return {row[0] for row in rows}


def _single_change(settlement: RetryLater | Dead, *, now: float, wall: float) -> tuple[str, dict[str, float | str]]:
    match settlement:
        case RetryLater(delay, reason):
            return (
                "token = NULL, available_at = :due, retry_count = retry_count + 1, reason = :reason",
                {"due": now + delay, "reason": reason},
            )
        case Dead(reason):
            return (
                "processed = 1, token = NULL, settled_at = :wall, dead_at = :wall, reason = :reason",
                {"wall": wall, "reason": reason},
            )


def _within(sizes: list[tuple[int, int]], most_bytes: int | None) -> list[int]:
    """The first ids whose payloads have at most ``most_bytes`` together, and one at least."""
    ids = [number for number, _ in sizes]
    if most_bytes is None:
        return ids
    total = 0
    for count, (_, size) in enumerate(sizes):
        total += size
        if total > most_bytes:
            return ids[: count or 1]
    return ids


def _by_token(claims: Iterable[Claim]) -> dict[tuple[str, int], list[Claim]]:
    groups: dict[tuple[str, int], list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.message.queue, claim.token].append(claim)
    return groups
