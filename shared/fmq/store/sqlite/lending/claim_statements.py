"""The SQL of claims: one set of statements per queue."""

from typing import NamedTuple, Self

from fmq.store.sqlite.attempts import worker_died
from fmq.store.sqlite.codec import ANY_COLUMNS, MESSAGE_COLUMNS, MOST_AT_SIGHT, held_bytes


def _at_sight(columns: str) -> str:
    """``columns`` with the length in place of a long payload or long properties: SQLite knows it from the row's header."""
    for column in ("payload", "properties"):
        value = (
            f"iif(typeof({column}) = 'text', CAST({column} AS BLOB), {column})" if columns == ANY_COLUMNS else column
        )
        length = f"octet_length({column})"
        columns = columns.replace(value, f"iif({length} > {MOST_AT_SIGHT}, {length}, {value})")
    return columns


_AT_SIGHT, _ANY_AT_SIGHT = _at_sight(MESSAGE_COLUMNS), _at_sight(ANY_COLUMNS)


class Statements(NamedTuple):
    """The statements of a queue's claims, made once: SQLite finds a prepared statement by its text."""

    any_due: str
    any_again: str
    again: str
    parked: str
    unread: str
    unread_at_sight: str
    unread_as_bytes: str
    lend: str
    lend_run: str

    @classmethod
    def of(cls, table: str, lent: str, attempts: str) -> Self:
        unread = (
            f" FROM {table} AS message WHERE id > ? AND processed = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT ?"
        )
        size = f"ifnull((SELECT {held_bytes('message')} FROM {table} AS message WHERE message.id = lent.id), 0)"
        suspect = f"token IS NOT NULL OR {worker_died(table, attempts, 'lent.id')}"
        return cls(
            any_due="SELECT ordered, paused_at IS NULL AND "
            f"(EXISTS (SELECT 1 FROM {table} WHERE id > head AND processed = 0) "
            f"OR EXISTS (SELECT 1 FROM {lent} WHERE due_at <= :now) "
            f"OR EXISTS (SELECT 1 FROM {lent} WHERE parked = :route)) FROM fmq_queue WHERE name = :name",
            any_again=f"SELECT 1 FROM {lent} WHERE due_at <= ? LIMIT 1",
            again=f"SELECT due_at, id, token IS NOT NULL, {suspect}, {size} FROM {lent} AS lent WHERE due_at <= ? "
            "ORDER BY due_at, id LIMIT ?",
            # Before all that is due.
            parked=f"SELECT -1.0, id, false, {suspect}, {size} FROM {lent} AS lent WHERE parked = ? ORDER BY id LIMIT ?",
            unread=f"SELECT {MESSAGE_COLUMNS}{unread}",
            unread_at_sight=f"SELECT {_AT_SIGHT}{unread}",
            unread_as_bytes=f"SELECT {_ANY_AT_SIGHT}{unread}",
            lend=f"INSERT INTO {lent} (id, due_at, token) SELECT value, :until, :token FROM json_each(:ids) "
            "WHERE true ON CONFLICT DO UPDATE SET due_at = excluded.due_at, token = excluded.token, received_at = NULL, "
            "parked = NULL",
            # Of messages that were never lent.
            lend_run=f"INSERT INTO {lent} (id, due_at, token) SELECT id, :until, :token FROM {table} "
            "WHERE id BETWEEN :first AND :last",
        )
