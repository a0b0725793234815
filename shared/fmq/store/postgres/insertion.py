"""Storing messages: one statement per queue, whatever the size of the batch."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fmq.message import Incoming, Receipt, Terms
from fmq.store.keys import digest
from fmq.store.postgres.codec import storable
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.session import Ask, Step
from fmq.store.postgres.statements import NOTIFY, counting, statement
from fmq.store.properties import encode_properties

_AT_ONCE_BYTES = 16 * 1024 * 1024
_INPUT = """
    WITH input AS MATERIALIZED (
        SELECT nextval('fmq_id_{q}') AS id, given.* FROM unnest(
            %(topics)b::text[], %(payloads)b::bytea[], %(received)b::float8[], %(qos)b::bigint[], %(sizes)b::bigint[],
            %(retain)b::bool[], %(properties)b::text[], %(delays)b::float8[], %(reasons)b::text[]
        ) AS given (topic, payload, received_at, qos, size, retain, properties, delay, reason)
    ),
    stored AS (
        INSERT INTO fmq_msg_{q} (id, received_at, stored_at, size, qos, retain, topic, properties, payload)
        SELECT id, received_at, {now}, size, qos, coalesce(retain, false), topic, properties, payload FROM input
    ),
    waiting AS (
        INSERT INTO fmq_due_{q} (id, due_at, size, topic)
        SELECT id, {now} + coalesce(delay, 0), size, {short} FROM input WHERE reason IS NULL
    ),
    dead AS (
        INSERT INTO fmq_dead_{q} (id, at, failed, reason) SELECT id, {now}, 0, reason FROM input WHERE reason IS NOT NULL
    ),
"""
_PUT = (
    _INPUT
    + counting(
        "stored=count(*); pending=count(*) FILTER (WHERE reason IS NULL); "
        "dead=count(*) FILTER (WHERE reason IS NOT NULL); died=count(*) FILTER (WHERE reason IS NOT NULL)",
        "input",
    )
    + NOTIFY
)
# A key whose time is over counts as new. Of two sessions with the same key the second waits for the first one's commit.
KEYS = statement("""
    INSERT INTO fmq_key (queue, digest, expires_at)
    SELECT queue, digest, {now} + seconds FROM unnest(
        %(queues)b::bigint[], %(digests)b::bytea[], %(seconds)b::float8[]
    ) AS given (queue, digest, seconds) ORDER BY queue, digest
    ON CONFLICT (queue, digest) DO UPDATE SET expires_at = excluded.expires_at WHERE fmq_key.expires_at <= {now}
    RETURNING queue, digest
""")
_RECEIPT = b"""
    INSERT INTO fmq_receipt (session, number, data) VALUES (%(session)s, %(number)s, %(data)b)
    ON CONFLICT (session, number) DO UPDATE SET data = excluded.data
"""
_RECEIPT_LOCK = b"SELECT pg_advisory_xact_lock(%(lock)s)"
_OLD_RECEIPTS = b"DELETE FROM fmq_receipt WHERE session = %(session)s AND number < %(first_kept)s"


class Insertion:
    """The role Intake, without the receipts that are read."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def put(self, messages: Sequence[Incoming], terms: Mapping[int, Terms], receipt: Receipt | None) -> Sequence[int]:
        """See Intake.put."""
        queues = {name: self._queues.number(name) for name in sorted({message[0] for message in messages})}
        if any(one.key is not None for one in terms.values()):
            return self._queues.session.interactive(lambda ask: self._put_new(ask, messages, terms, queues, receipt))
        if steps := self._steps(messages, terms, queues, receipt):
            self._queues.session.transaction(steps)
        return ()

    def _put_new(
        self,
        ask: Ask,
        messages: Sequence[Incoming],
        terms: Mapping[int, Terms],
        queues: Mapping[str, int],
        receipt: Receipt | None,
    ) -> Sequence[int]:
        """Store those whose keys are new. Returns the positions of the others."""
        kept = new_positions(ask, [message[0] for message in messages], terms, queues)
        left = {at: terms[position] for at, position in enumerate(kept) if position in terms}
        for step in self._steps([messages[position] for position in kept], left, queues, receipt):
            ask(*step)
        return sorted(set(range(len(messages))).difference(kept))

    def _steps(
        self,
        messages: Sequence[Incoming],
        terms: Mapping[int, Terms],
        queues: Mapping[str, int],
        receipt: Receipt | None,
    ) -> list[Step]:
        groups: dict[str, list[tuple[Incoming, float]]] = defaultdict(list)
        for position, message in enumerate(messages):
            groups[message[0]].append((message, terms[position].delay if position in terms else 0.0))
        notify = bool(messages) and self._queues.notifies()
        steps: list[Step] = []
        for name, group in sorted(groups.items(), key=lambda one: queues[one[0]]):
            for part in _parts(group):
                steps.append((statement(_PUT, queues[name]), self._queues.values({**_columns(part), "notify": notify})))
                notify = False
        if receipt:
            values = {**receipt._asdict(), "session": digest(receipt.session)}
            steps = [receipt_lock(receipt.session), *steps, (_RECEIPT, values), (_OLD_RECEIPTS, values)]
        return steps


def new_positions(
    ask: Ask, names: Sequence[str], terms: Mapping[int, Terms], queues: Mapping[str, int]
) -> Sequence[int]:
    """The positions of messages whose keys are new, and of those without one. ``names`` are the queues of all messages.

    The keys are remembered from now on. Within the transaction that stores the messages.
    """
    duplicates: set[int] = set()
    waiting = [
        (position, queues[names[position]], one) for position, one in sorted(terms.items()) if one.key is not None
    ]
    while waiting:
        # One statement can't touch a key twice. The second message with a key is a duplicate, unless the first one's time was
        # over at once.
        now: dict[tuple[int, bytes], tuple[int, Terms]] = {}
        later: list[tuple[int, int, Terms]] = []
        for position, queue, one in waiting:
            key = (queue, digest(one.key or ""))
            known = now.setdefault(key, (position, one))
            if known[0] != position:
                if known[1].key_seconds > 0:
                    duplicates.add(position)
                else:
                    later.append((position, queue, one))
        values = {
            "queues": [queue for queue, _ in now],
            "digests": [one for _, one in now],
            "seconds": [float(one.key_seconds) for _, one in now.values()],
        }
        new = {(int(queue), bytes(one)) for queue, one in ask(KEYS, values)}
        duplicates.update(position for key, (position, _) in now.items() if key not in new)
        waiting = later
    return [position for position in range(len(names)) if position not in duplicates]


def receipt_lock(session: str) -> Step:
    """The step that waits until no other transaction changes the receipts of ``session``, and keeps others out."""
    return _RECEIPT_LOCK, {"lock": int.from_bytes(digest(session)[:8], signed=True)}


def _parts(group: Sequence[tuple[Incoming, float]]) -> Iterator[Sequence[tuple[Incoming, float]]]:
    """The messages in parts for one statement each: the server holds all that a statement stores in memory."""
    size, start = 0, 0
    for at, (message, _) in enumerate(group):
        size += len(message[2])
        if size > _AT_ONCE_BYTES and at > start:
            yield group[start:at]
            size, start = len(message[2]), at
    yield group[start:]


def _columns(part: Sequence[tuple[Incoming, float]]) -> dict[str, object]:
    _, topics, payloads, received, qos, retain, properties, reasons = zip(
        *(message for message, _ in part), strict=True
    )
    return {
        "topics": [storable(one) for one in topics],
        "payloads": list(payloads),
        "received": [float(one) for one in received],
        "qos": list(qos),
        "sizes": [_held_bytes(message) for message, _ in part],
        # Most often these columns are empty.
        "retain": list(retain) if any(retain) else None,
        "properties": None if _all_none(properties) else [encode_properties(one) for one in properties],
        "delays": [float(max(delay, 0)) for _, delay in part] if any(delay for _, delay in part) else None,
        "reasons": None if _all_none(reasons) else [None if one is None else storable(one) for one in reasons],
    }


def _all_none(values: Sequence[object]) -> bool:
    return values.count(None) == len(values)


def _held_bytes(message: Incoming) -> int:
    """As Message.held_bytes."""
    size = len(message.payload) + 4 * len(message.topic)
    return size if message.properties is None else size + message.properties.held_bytes
