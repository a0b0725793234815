"""Inserts messages that were in another store, in any state."""

from fmq.errors import QueueError
from fmq.message import MessageId
from fmq.store.properties import encode_properties
from fmq.store.records import StoredMessage
from fmq.store.selection import State
from fmq.store.sqlite.codec import MOST_RETRIES
from fmq.store.sqlite.database import Database

_NOBODY = 0
"""The token of a claim that nobody has: claims count from 1."""
_COLUMNS = (
    "id, topic, payload, received_at, processed, retry_count, qos, retain, properties, changed_at, dead_at, reason"
)


def insert(database: Database, one: StoredMessage, now: float, *, keep_id: bool) -> MessageId:
    """Insert a message and its attempts. Returns its id. Within a write transaction; the caller counts it.

    With ``keep_id``, raises QueueError if its id is in use.
    """
    message, table = one.message, database.table(one.message.queue)
    if keep_id and database.rows(f"SELECT 1 FROM {table} WHERE id = ?", (message.id,)):
        raise QueueError(f"{message.queue} in {database.path} has a message {message.id} already")
    settled = one.state in (State.DONE, State.DEAD)
    changed = _in_the_stores_time(database, one.settled_at if settled else one.stored_at, now)
    values = (
        message.id if keep_id else None,
        message.topic,
        message.payload,
        message.received_at,
        settled,
        min(message.retry_count, MOST_RETRIES),
        message.qos,
        message.retain,
        encode_properties(message.properties),
        changed,
        (changed + database.shift if one.settled_at is None else one.settled_at) if one.state is State.DEAD else None,
        one.reason or None,
    )
    marks = ", ".join("?" * len(values))
    number = int(database.rows(f"INSERT INTO {table} ({_COLUMNS}) VALUES ({marks}) RETURNING id", values)[0][0])
    if not settled:
        # Always with a row among what was lent: so its id may be below the head, and it is due since its own time.
        is_lapsed = one.state is State.CLAIMED
        due = now if is_lapsed else _in_the_stores_time(database, one.due_at, changed)
        database.rows(
            f"INSERT INTO {database.lent(message.queue)} (id, due_at, token, received_at) VALUES (?, ?, ?, ?)",
            (number, due, _NOBODY if is_lapsed else None, None if is_lapsed else message.received_at),
        )
    database.sql.executemany(
        f"INSERT INTO {database.attempts(message.queue)} (id, number, at, cause, reason, worker) VALUES (?, ?, ?, ?, ?, ?)",
        [(number, each.number, each.at, each.cause, each.reason, each.worker) for each in one.attempts],
    )
    return number


def pass_settled(database: Database, name: str) -> None:
    """Let the head pass what was placed, if nothing else waits behind it: no claim walks through it then."""
    table, lent = database.table(name), database.lent(name)
    database.rows(
        f"UPDATE fmq_queue SET head = max(head, (SELECT ifnull(max(id), 0) FROM {table})) WHERE name = ?1 "
        f"AND NOT EXISTS (SELECT 1 FROM {table} AS message WHERE id > head AND processed = 0 "
        f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id))",
        (name,),
    )


def _in_the_stores_time(database: Database, at: float | None, otherwise: float) -> float:
    return otherwise if at is None else at - database.shift
