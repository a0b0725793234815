"""Reads messages with all that the store keeps of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fmq.message import LATEST_MOMENT, Message
from fmq.store.records import Attempt, StoredMessage
from fmq.store.selection import State
from fmq.store.sqlite.choosing import THESE, these
from fmq.store.sqlite.codec import NUMBER, as_number, as_text, decode_message
from fmq.store.sqlite.database import Database

_STANDING = (
    f"message.id, processed, {NUMBER.format('dead_at')}, {NUMBER.format('changed_at')}, CAST(reason AS BLOB), token, "
    f"iif(lent.parked IS NULL, {NUMBER.format('lent.due_at')}, 0.0)"
)


def read_stored(database: Database, name: str, ids: Sequence[int]) -> Sequence[StoredMessage]:
    """The messages with these ids that exist. Within a transaction, so that its statements see one state."""
    table, lent = database.table(name), database.lent(name)
    standing = {
        row[0]: row[1:]
        for row in database.rows(
            f"SELECT {_STANDING} FROM {table} AS message LEFT JOIN {lent} AS lent ON lent.id = message.id WHERE message.{THESE}",
            these(ids),
        )
    }
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for number, *rest in database.rows(
        f"SELECT id, number, {NUMBER.format('at')}, CAST(cause AS BLOB), CAST(reason AS BLOB), CAST(worker AS BLOB) "
        f"FROM {database.attempts(name)} WHERE {THESE} ORDER BY id, number",
        these(ids),
    ):
        attempts[number].append(Attempt(rest[0], as_number(rest[1]), *map(as_text, rest[2:])))
    return [
        StoredMessage(
            _dated(decode_message(name, row)), attempts=attempts[row[0]], **_where(database, standing[row[0]])
        )
        for row in database.messages(name, ids)
    ]


def _dated(message: Message) -> Message:
    """The message with a time of receipt that every store takes: somebody's own SQL may have written another one."""
    if 0 <= message.received_at < LATEST_MOMENT:
        return message
    return message._replace(received_at=min(max(message.received_at, 0.0), LATEST_MOMENT - 1.0))


def _where(database: Database, standing: tuple[Any, ...]) -> dict[str, Any]:
    """State, times and reason of a message."""
    processed, dead_at, changed_at, reason, token, due_at = standing
    text, shift = as_text(reason or b""), database.shift
    # A row that somebody's own SQL has inserted has no time.
    changed = None if changed_at is None else changed_at + shift
    if dead_at is not None:
        return {"state": State.DEAD, "settled_at": as_number(dead_at), "reason": text}
    if processed == 1:
        return {"state": State.DONE, "settled_at": changed}
    state = State.PENDING if token is None else State.CLAIMED
    due = due_at + shift if due_at else changed  # a message that was given back is due since 0: at its old position
    return {"state": state, "stored_at": changed, "due_at": due, "reason": text}
