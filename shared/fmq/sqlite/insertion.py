"""Storing messages: as few statements as a batch can do with."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

from fmq.message import Incoming, Properties, Receipt, Terms
from fmq.sqlite.codec import encode_properties
from fmq.sqlite.connection import Store

_ROWS = 50
"""How many rows one statement stores: half the time of a statement for each (docs/adr/0011); more than these gain nothing."""
_NO_TERMS = Terms()

_Values = tuple[str, bytes, float, int, bool, str | None]


def store(
    messages: Sequence[Incoming], into: Store, *, terms: Mapping[int, Terms], receipt: Receipt | None
) -> Sequence[int]:
    """See Queue.put."""
    duplicates: Sequence[int] = ()
    with into.write():
        if terms:
            duplicates = _one_by_one(messages, terms, into)
        else:
            _at_once(messages, into)
        if receipt:
            _keep(receipt, into)
    into.require_presence()  # whoever called acknowledges these messages next
    return duplicates


def _at_once(messages: Sequence[Incoming], into: Store) -> None:
    now = into.now()
    groups: dict[str, list[_Values]] = defaultdict(list)
    encoded: dict[int, str | None] = {}
    for queue, topic, payload, received_at, qos, retain, properties in messages:
        groups[queue].append(
            (topic, payload, received_at, qos, retain, None if properties is None else _encoded(properties, encoded))
        )
    for name, rows in groups.items():
        whole = len(rows) - len(rows) % _ROWS
        many = _statement(into.table(name), _ROWS)
        for start in range(0, whole, _ROWS):
            into.sql.execute(many, (*chain.from_iterable(rows[start : start + _ROWS]), now))
        if whole < len(rows):
            into.sql.executemany(_statement(into.table(name), 1), ((*row, now) for row in rows[whole:]))
        _count(name, len(rows), into)


def _one_by_one(messages: Sequence[Incoming], terms: Mapping[int, Terms], into: Store) -> Sequence[int]:
    """Returns the positions of duplicates."""
    duplicates: list[int] = []
    counts: Counter[str] = Counter()
    now = into.now()
    for position, (queue, topic, payload, received_at, qos, retain, properties) in enumerate(messages):
        asked = terms.get(position, _NO_TERMS)
        if asked.key is not None and not _is_new(queue, asked, now, into):
            duplicates.append(position)
            continue
        values = (topic, payload, received_at, qos, retain, encode_properties(properties), now)
        into.sql.execute(_statement(into.table(queue), 1), values)
        if asked.delay > 0:
            into.sql.execute(
                f"INSERT INTO {into.lent(queue)} (id, due_at, received_at) VALUES (last_insert_rowid(), ?, ?)",
                (now + asked.delay, received_at),
            )
        counts[queue] += 1
    for name, count in counts.items():
        _count(name, count, into)
    return duplicates


def _is_new(queue: str, asked: Terms, now: float, into: Store) -> bool:
    """Whether the key was not seen in its time; it is remembered from now on."""
    return bool(
        into.rows(
            "INSERT INTO fmq_key (queue, key, expires_at) VALUES (?1, ?2, ?3) "
            "ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?4 RETURNING 1",
            (queue, asked.key, now + asked.key_seconds, now),
        )
    )


def _keep(receipt: Receipt, into: Store) -> None:
    into.rows(
        "INSERT OR REPLACE INTO fmq_receipt (session, number, data) VALUES (?, ?, ?)",
        (receipt.session, receipt.number, receipt.data),
    )
    into.rows("DELETE FROM fmq_receipt WHERE session = ? AND number < ?", (receipt.session, receipt.first_kept))


def _count(name: str, stored: int, into: Store) -> None:
    # One statement a batch, where a trigger would be one a row (docs/adr/0007).
    into.rows("UPDATE fmq_queue SET stored = stored + ?1, pending = pending + ?1 WHERE name = ?2", (stored, name))


def _encoded(properties: Properties, encoded: dict[int, str | None]) -> str | None:
    """The properties as text; the messages of a batch often share them."""
    key = id(properties)  # all of them are alive as long as the batch is
    if key not in encoded:
        encoded[key] = encode_properties(properties)
    return encoded[key]


@lru_cache(maxsize=1_024)
def _statement(table: str, rows: int) -> str:
    now = rows * 6 + 1
    values = (
        f"(?{at + 1}, ?{at + 2}, ?{at + 3}, ?{at + 4}, ?{at + 5}, ?{at + 6}, ?{now})" for at in range(0, rows * 6, 6)
    )
    return (
        f"INSERT INTO {table} (topic, payload, received_at, qos, retain, properties, changed_at) VALUES "
        + ", ".join(values)
    )
