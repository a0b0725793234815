"""Stores messages that were in another store, in any state."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fmq.errors import QueueError
from fmq.message import Receipt, Terms
from fmq.store.keys import digest
from fmq.store.postgres.codec import MOST_RETRIES, storable
from fmq.store.postgres.insertion import new_positions
from fmq.store.postgres.moving.taking import LAST_RECEIPT, NEW_RECEIPT, OLD_RECEIPTS
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.session import Ask
from fmq.store.postgres.statements import NOTIFY, counting, statement
from fmq.store.properties import encode_properties
from fmq.store.records import StoredMessage

_AT_ONCE_BYTES = 16 * 1024 * 1024
_NOBODY = 0
"""The token of a claim that nobody has: those of real claims are random."""
_NEXT_IDS = "SELECT nextval('fmq_id_{q}') FROM generate_series(1, %(count)s)"
_USED_IDS = "SELECT id FROM fmq_msg_{q} WHERE id = ANY (%(ids)b::bigint[]) ORDER BY id LIMIT 1"
_PLACE = (
    """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(
            %(ids)b::bigint[], %(topics)b::text[], %(payloads)b::bytea[], %(received)b::float8[], %(qos)b::bigint[],
            %(retain)b::bool[], %(properties)b::text[], %(sizes)b::bigint[], %(states)b::text[], %(failed)b::bigint[],
            %(stored)b::float8[], %(due)b::float8[], %(settled)b::float8[], %(reasons)b::text[]
        ) AS given (
            id, topic, payload, received_at, qos, retain, properties, size, state, failed, stored_at, due_at, settled_at, reason
        )
    ),
    kept AS (
        INSERT INTO fmq_msg_{q} (id, received_at, stored_at, size, qos, retain, topic, properties, payload)
        SELECT id, received_at, coalesce(stored_at, {now}), size, qos, retain, topic, properties, payload FROM given
    ),
    waiting AS (
        INSERT INTO fmq_due_{q} (id, due_at, leased, token, failed, size, topic, reason)
        SELECT id, CASE state WHEN 'claimed' THEN {now} ELSE coalesce(due_at, {now}) END, {now},
            CASE state WHEN 'claimed' THEN %(nobody)s END, failed, size, {short}, nullif(reason, '')
        FROM given WHERE state IN ('pending', 'claimed')
    ),
    done AS (
        INSERT INTO fmq_done_{q} (id, at, failed)
        SELECT id, coalesce(settled_at, {now}), failed FROM given WHERE state = 'done'
    ),
    dead AS (
        INSERT INTO fmq_dead_{q} (id, at, failed, reason)
        SELECT id, coalesce(settled_at, {now}), failed, reason FROM given WHERE state = 'dead'
    ),
    """
    + counting(
        "stored=count(*); "
        + "; ".join(f"{one}=count(*) FILTER (WHERE state = '{one}')" for one in ("pending", "claimed", "done", "dead")),
        "given",
    )
    + NOTIFY
)
_ATTEMPTS = """
    INSERT INTO fmq_attempt_{q} (id, number, at, cause, reason, worker) SELECT * FROM unnest(
        %(ids)b::bigint[], %(numbers)b::bigint[], %(at)b::float8[], %(causes)b::text[], %(reasons)b::text[], %(workers)b::text[]
    )
"""


class Placing:
    """The placing half of the role Moving."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def place(
        self,
        messages: Sequence[StoredMessage],
        terms: Mapping[int, Terms],
        receipt: Receipt | None,
        *,
        keep_ids: bool,
    ) -> Sequence[int | None]:
        """See Moving.place."""
        numbers = {name: self._queues.number(name) for name in sorted({one.message.queue for one in messages})}

        def work(ask: Ask) -> Sequence[int | None]:
            if receipt is not None and not _keep(ask, receipt):
                return [None] * len(messages)
            kept = new_positions(ask, [one.message.queue for one in messages], terms, numbers)
            groups: dict[str, list[int]] = defaultdict(list)
            for position in kept:
                groups[messages[position].message.queue].append(position)
            ids: list[int | None] = [None] * len(messages)
            for name, positions in sorted(groups.items(), key=lambda one: numbers[one[0]]):
                group = [messages[position] for position in positions]
                placed = self._ids(ask, name, numbers[name], group, keep=keep_ids)
                for position, id_ in zip(positions, placed, strict=True):
                    ids[position] = id_
                self._insert(ask, numbers[name], list(zip(placed, group, strict=True)))
            return ids

        return self._queues.session.interactive(work)

    def _ids(self, ask: Ask, name: str, number: int, group: Sequence[StoredMessage], *, keep: bool) -> Sequence[int]:
        if not keep:
            return [row[0] for row in ask(statement(_NEXT_IDS, number), {"count": len(group)})]
        ids = [one.message.id for one in group]
        for (used,) in ask(statement(_USED_IDS, number), {"ids": ids}):
            raise QueueError(f"{name} in {self._queues.session.target.name} has a message {used} already")
        return ids

    def _insert(self, ask: Ask, number: int, group: Sequence[tuple[int, StoredMessage]]) -> None:
        shift = self._queues.session.moment().shift
        notify = self._queues.notifies()
        start, size = 0, 0
        for at, (_, one) in enumerate(group):  # the server holds all that a statement stores in memory
            size += one.message.held_bytes
            if size > _AT_ONCE_BYTES and at > start:
                self._insert_part(ask, number, group[start:at], shift, notify=False)
                start, size = at, one.message.held_bytes
        self._insert_part(ask, number, group[start:], shift, notify=notify)

    def _insert_part(
        self, ask: Ask, number: int, part: Sequence[tuple[int, StoredMessage]], shift: float, *, notify: bool
    ) -> None:
        values = {**_columns(part, shift), "nobody": _NOBODY, "notify": notify}
        ask(statement(_PLACE, number), self._queues.values(values))
        rows = [
            (id_, each.number, each.at, storable(each.cause), storable(each.reason), storable(each.worker))
            for id_, one in part
            for each in one.attempts
        ]
        if rows:
            names = ("ids", "numbers", "at", "causes", "reasons", "workers")
            columns = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
            ask(statement(_ATTEMPTS, number), columns)


def _keep(ask: Ask, receipt: Receipt) -> bool:
    """Keep a receipt unless it is known. Of two sessions with the same one the second waits for the first one's commit."""
    values = {**receipt._asdict(), "session": digest(receipt.session)}
    if ask(LAST_RECEIPT, values)[0][0] >= receipt.number or not ask(NEW_RECEIPT, values):
        return False
    ask(OLD_RECEIPTS, values)
    return True


def _columns(part: Sequence[tuple[int, StoredMessage]], shift: float) -> dict[str, object]:
    messages = [one.message for _, one in part]

    def times(values: Sequence[float | None]) -> list[float | None]:
        return [None if one is None else one - shift for one in values]

    return {
        "ids": [id_ for id_, _ in part],
        "topics": [storable(one.topic) for one in messages],
        "payloads": [one.payload for one in messages],
        "received": [float(one.received_at) for one in messages],
        "qos": [one.qos for one in messages],
        "retain": [one.retain for one in messages],
        "properties": [encode_properties(one.properties) for one in messages],
        "sizes": [one.held_bytes for one in messages],
        "states": [one.state.value for _, one in part],
        "failed": [min(one.retry_count, MOST_RETRIES) for one in messages],
        "stored": times([one.settled_at if one.stored_at is None else one.stored_at for _, one in part]),
        "due": times([one.due_at for _, one in part]),
        "settled": times([one.settled_at for _, one in part]),
        "reasons": [storable(one.reason) for _, one in part],
    }
