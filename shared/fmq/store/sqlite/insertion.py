"""Storing messages: as few statements as a batch can do with."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

from fmq.message import Incoming, Properties, Receipt, Terms
from fmq.store.properties import encode_properties
from fmq.store.sqlite.database import Database

_ROWS = 50
"""How many rows one statement stores: half the time of a statement for each (docs/adr/0011); more than these gain nothing."""
_SIZES = (_ROWS, 20, 5, 1)
"""Of the statements that store a group: SQLite keeps them prepared, so there are few."""
_LARGE_ROW = 64 * 1024
"""Bytes. A row with a larger payload or properties goes alone: SQLite holds a copy of everything that one statement stores."""
_LONG_TEXT = 4_096
_NO_TERMS = Terms()

_queue_of = itemgetter(0)

_Values = tuple[str, bytes, float, int, bool, str | None]
_VALUES = 6
_DEAD = "INSERT INTO {table} (topic, payload, received_at, qos, retain, properties, changed_at, processed, dead_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9)"


def store(
    messages: Sequence[Incoming], into: Database, *, terms: Mapping[int, Terms], receipt: Receipt | None
) -> Sequence[int]:
    """See Intake.put."""
    duplicates: Sequence[int] = ()
    with into.write():
        if any(asked.delay > 0 for asked in terms.values()):
            duplicates = _one_by_one(messages, terms, into)
        elif terms:
            duplicates = _known(messages, terms, into)
            known = frozenset(duplicates)
            _at_once([one for position, one in enumerate(messages) if position not in known], into)
        else:
            _at_once(messages, into)
        if receipt:
            keep_receipt(receipt, into)
    into.require_files()  # the caller acknowledges these messages next
    into.wake_others()
    return duplicates


def _at_once(messages: Sequence[Incoming], into: Database) -> None:
    now = into.now()
    encoded: dict[int, str | None] = {}
    for name, group in _by_queue(messages).items():
        table = into.table(name)
        dead = 0
        for start in range(0, len(group), _ROWS):
            values: list[object] = []
            for message in group[start : start + _ROWS]:
                if message[6] is None is message[7] and len(message[2]) < _LARGE_ROW:
                    values += message[1:7]  # as below, in half of the time
                    continue
                _, topic, payload, received_at, qos, retain, properties, reason = message
                text = None if properties is None else _encoded(properties, encoded)
                row: _Values = (topic, payload, received_at, qos, retain, text)
                if reason is None and len(payload) < _LARGE_ROW and (text is None or len(text) < _LARGE_ROW):
                    values += row
                    continue
                # Ids follow the order of arrival: what came before goes first.
                _insert(values, now, table, into)
                values = []
                if reason is None:
                    _insert(row, now, table, into)
                else:
                    dead += 1
                    into.sql.execute(_DEAD.format(table=table), (*row, now, into.wall(), reason))
            _insert(values, now, table, into)
        _count(name, len(group), dead, into)


def _by_queue(messages: Sequence[Incoming]) -> dict[str, Sequence[Incoming]]:
    names = set(map(_queue_of, messages))
    if len(names) == 1:
        return {names.pop(): messages}
    groups: dict[str, list[Incoming]] = defaultdict(list)
    for message in messages:
        groups[message[0]].append(message)
    return {**groups}


def _insert(values: Sequence[object], now: float, table: str, into: Database) -> None:
    """Store rows, whose ``values`` follow each other, in as few statements as there are ``_SIZES`` for."""
    start, end = 0, len(values)
    for rows in _SIZES:
        width = rows * _VALUES
        while end - start >= width:
            into.sql.execute(_statement(table, rows), (*values[start : start + width], now))
            start += width


def _one_by_one(messages: Sequence[Incoming], terms: Mapping[int, Terms], into: Database) -> Sequence[int]:
    """Returns the positions of duplicates."""
    duplicates: list[int] = []
    counts: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    now = into.now()
    for position, (queue, topic, payload, received_at, qos, retain, properties, reason) in enumerate(messages):
        asked = terms.get(position, _NO_TERMS)
        if asked.key is not None and not is_new(queue, asked, now, into):
            duplicates.append(position)
            continue
        values = (topic, payload, received_at, qos, retain, encode_properties(properties), now)
        if reason is not None:
            into.sql.execute(_DEAD.format(table=into.table(queue)), (*values, into.wall(), reason))
            dead[queue] += 1
        else:
            into.sql.execute(_statement(into.table(queue), 1), values)
        if asked.delay > 0 and reason is None:
            into.sql.execute(
                f"INSERT INTO {into.lent(queue)} (id, due_at, received_at) VALUES (last_insert_rowid(), ?, ?)",
                (now + asked.delay, received_at),
            )
        counts[queue] += 1
    for name, count in counts.items():
        _count(name, count, dead[name], into)
    return duplicates


def _known(messages: Sequence[Incoming], terms: Mapping[int, Terms], into: Database) -> Sequence[int]:
    """The positions of duplicates. The keys of the others are remembered from now on."""
    now = into.now()
    asked = [(position, messages[position].queue, one) for position, one in terms.items() if one.key is not None]
    asked.sort()  # of two messages with one key, the one that came first is new
    found: list[tuple[str, str]] = []
    for start in range(0, len(asked), _ROWS):
        some = asked[start : start + _ROWS]
        values = [value for _, queue, one in some for value in (queue, one.key, now + one.key_seconds)]
        found += into.rows(_keys(len(some)), (*values, now))
    if len(found) == len(asked):  # as nearly always
        return []
    new = Counter(found)
    duplicates: list[int] = []
    for position, queue, one in asked:
        if new[queue, one.key or ""] > 0:
            new[queue, one.key or ""] -= 1
        else:
            duplicates.append(position)
    return duplicates


def is_new(queue: str, asked: Terms, now: float, into: Database) -> bool:
    """Whether the key was not seen in its time; it is remembered from now on. Within a write transaction."""
    return bool(into.rows(_keys(1), (queue, asked.key, now + asked.key_seconds, now)))


@lru_cache(maxsize=2 * _ROWS)
def _keys(rows: int) -> str:
    """Remembers keys; returns queue and key of those that were not seen in their time."""
    values = ", ".join(f"(?{at + 1}, ?{at + 2}, ?{at + 3})" for at in range(0, rows * 3, 3))
    return (
        f"INSERT INTO fmq_key (queue, key, expires_at) VALUES {values} "
        f"ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?{rows * 3 + 1} RETURNING queue, key"
    )


def keep_receipt(receipt: Receipt, into: Database) -> None:
    """Keep a receipt, and drop those before its ``first_kept``. Within a write transaction."""
    into.rows(
        "INSERT OR REPLACE INTO fmq_receipt (session, number, data) VALUES (?, ?, ?)",
        (receipt.session, receipt.number, receipt.data),
    )
    into.rows("DELETE FROM fmq_receipt WHERE session = ? AND number < ?", (receipt.session, receipt.first_kept))


def _count(name: str, stored: int, dead: int, into: Database) -> None:
    # One statement per batch, where a trigger would be one per row (docs/adr/0007).
    into.rows(
        "UPDATE fmq_queue SET stored = stored + ?1, pending = pending + ?1 - ?2, dead = dead + ?2, died = died + ?2 WHERE name = ?3",
        (stored, dead, name),
    )
    if dead:
        # Where nothing waits, the head passes the dead letters: nobody has to walk through them to find nothing.
        into.rows(
            f"UPDATE fmq_queue SET head = (SELECT max(id) FROM {into.table(name)}) "
            "WHERE name = ? AND pending = 0 AND claimed = 0",
            (name,),
        )


def _encoded(properties: Properties, encoded: dict[int, str | None]) -> str | None:
    """The properties as text; the messages of a batch often share them. Long ones are not kept, and are rarely shared."""
    key = id(properties)  # all of them are alive as long as the batch is
    if key in encoded:
        return encoded[key]
    text = encode_properties(properties)
    if text is None or len(text) < _LONG_TEXT:
        encoded[key] = text
    return text


@lru_cache(maxsize=1_024)
def _statement(table: str, rows: int) -> str:
    now = rows * _VALUES + 1
    values = (
        f"(?{at + 1}, ?{at + 2}, ?{at + 3}, ?{at + 4}, ?{at + 5}, ?{at + 6}, ?{now})"
        for at in range(0, rows * _VALUES, _VALUES)
    )
    return (
        f"INSERT INTO {table} (topic, payload, received_at, qos, retain, properties, changed_at) VALUES "
        + ", ".join(values)
    )
