"""Storing messages: as few statements as a batch can do with."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from fmq.message import Incoming, Properties
from fmq.sqlite.codec import encode_properties
from fmq.sqlite.connection import Store

_ROWS = 50
"""How many rows one statement stores: half the time of a statement for each (docs/adr/0011); more than these gain nothing."""

_Values = tuple[str, bytes, float, int, bool, str | None]


def store(messages: Sequence[Incoming], into: Store) -> None:
    """Store all messages in one commit. Raises StoreUnavailable, UnknownQueue."""
    groups: dict[str, list[_Values]] = defaultdict(list)
    encoded: dict[int, str | None] = {}
    for queue, topic, payload, received_at, qos, retain, properties in messages:
        groups[queue].append(
            (topic, payload, received_at, qos, retain, None if properties is None else _encoded(properties, encoded))
        )
    with into.write() as sql:
        for name, rows in groups.items():
            whole = len(rows) - len(rows) % _ROWS
            many = _statement(into.table(name), _ROWS)
            for start in range(0, whole, _ROWS):
                sql.execute(many, tuple(chain.from_iterable(rows[start : start + _ROWS])))
            if whole < len(rows):
                sql.executemany(_statement(into.table(name), 1), rows[whole:])
            sql.execute(
                "UPDATE fmq_queue SET stored = stored + ?1, pending = pending + ?1 WHERE name = ?2", (len(rows), name)
            )


def _encoded(properties: Properties, encoded: dict[int, str | None]) -> str | None:
    """The properties as text; the messages of a batch often share them."""
    key = id(properties)  # all of them are alive as long as the batch is
    if key not in encoded:
        encoded[key] = encode_properties(properties)
    return encoded[key]


@lru_cache(maxsize=1_024)
def _statement(table: str, rows: int) -> str:
    values = (
        f"(?{at + 1}, ?{at + 2}, ?{at + 3}, ?{at + 4}, ?{at + 5}, ?{at + 6}, ?{at + 3})" for at in range(0, rows * 6, 6)
    )
    return (
        f"INSERT INTO {table} (topic, payload, received_at, qos, retain, properties, changed_at) VALUES "
        + ", ".join(values)
    )
