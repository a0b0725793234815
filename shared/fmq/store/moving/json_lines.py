"""A message with all that a store keeps of it, as one line of JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from fmq.message import Message, Properties
from fmq.message_json import field_of, incoming_of, message_fields, moment_of, read_each, read_fields
from fmq.store.records import Attempt, StoredMessage
from fmq.store.selection import State

_MOST = 2**31 - 1
_SETTLED = {State.DONE: "done_at", State.DEAD: "dead_at"}


def stored_fields(one: StoredMessage) -> dict[str, Any]:
    """The fields of a message (fmq.message_json), its state, its times in Unix seconds, and its failed attempts."""
    fields = {**message_fields(one.message), "state": one.state.value}
    times = {"stored_at": one.stored_at, "due_at": one.due_at}
    fields |= {name: value for name, value in times.items() if value is not None}
    if one.settled_at is not None and one.state in _SETTLED:
        fields[_SETTLED[one.state]] = one.settled_at
    if one.reason or one.state is State.DEAD:
        fields["reason"] = one.reason
    if one.attempts:
        fields["attempts"] = [
            {"number": each.number, "at": each.at, "cause": each.cause, "reason": each.reason, "worker": each.worker}
            for each in one.attempts
        ]
    return fields


def line_of(fields: Mapping[str, Any]) -> bytes:
    """One line of ASCII with its end."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def read_line(line: bytes) -> tuple[StoredMessage, UUID | None]:
    """The message in a line, and the store that it comes from. What other programs may leave out has a default.

    A claimed message counts as pending, since its holder knows another store. One without a state is a dead letter if it has the
    time of its death; otherwise it is pending, with no attempts counted. Raises ValueError that names each invalid field.
    """
    fields = read_fields(line)
    return stored_of(fields), read_each(fields, {"store": _store})["store"]


def stored_of(fields: dict[str, Any]) -> StoredMessage:
    """The message in fields of ``stored_fields``. Raises ValueError that names each invalid field."""
    wrong: list[str] = []
    message, rest = None, {}
    try:
        message = incoming_of(fields)
    except ValueError as error:
        wrong.append(str(error))
    try:
        rest = read_each(fields, _READ)
    except ValueError as error:
        wrong.append(str(error))
    if message is None or wrong:
        raise ValueError("; ".join(wrong))
    state = rest["state"]
    is_whole = "state" in fields or state is State.DEAD
    return StoredMessage(
        Message(
            rest["id"],
            message.queue,
            message.topic,
            message.payload,
            message.received_at,
            message.qos,
            message.retain,
            rest["retry_count"] if is_whole else 0,
            message.properties or Properties(),
        ),
        state,
        stored_at=None if state in _SETTLED else rest["stored_at"],
        due_at=None if state in _SETTLED else rest["due_at"],
        settled_at=rest[_SETTLED[state]] if state in _SETTLED else None,
        reason=rest["reason"] if is_whole else "",
        attempts=rest["attempts"],
    )


def _state(fields: dict[str, Any], name: str) -> State:
    value = fields.get(name, State.PENDING.value if fields.get("dead_at") is None else State.DEAD.value)
    if value in (State.PENDING, State.DELAYED, State.CLAIMED):
        return State.PENDING
    if value not in _SETTLED:
        raise ValueError(f"{name} is {value!r:.60}: expected pending, delayed, claimed, done or dead")
    return State(value)


def _count(fields: dict[str, Any], name: str) -> int:
    value: int = field_of({name: 0, **fields}, name, int)
    if value < 0 or (value > _MOST and name != "id"):
        raise ValueError(f"{name} is {value!r:.60}: expected a whole number, 0 or more")
    return value


def _time(fields: dict[str, Any], name: str) -> float | None:
    return None if fields.get(name) is None else moment_of(fields, name)


def _text(fields: dict[str, Any], name: str) -> str:
    text: str = field_of({name: "", **fields}, name, str)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is text that UTF-8 can't encode (a lone surrogate)") from None
    return text


def _attempts(fields: dict[str, Any], name: str) -> tuple[Attempt, ...]:
    found: list[Attempt] = []
    for each in field_of({name: [], **fields}, name, list):
        if not isinstance(each, dict):
            raise ValueError(f"{name} has {each!r:.60}: expected an object")  # noqa: TRY004 - as for other wrong fields
        one = Attempt(**read_each(each, _ATTEMPT))
        if found and one.number <= found[-1].number:
            raise ValueError(f"{name} are not in the order of their numbers")
        found.append(one)
    return tuple(found)


def _store(fields: dict[str, Any], name: str) -> UUID | None:
    text = _text(fields, name)
    try:
        return UUID(text) if text else None
    except ValueError:
        raise ValueError(f"{name} is {text!r:.60}: expected the identity of a store, a UUID") from None


_Reader = Callable[[dict[str, Any], str], Any]
_READ: Mapping[str, _Reader] = {
    "id": _count,
    "retry_count": _count,
    "state": _state,
    "stored_at": _time,
    "due_at": _time,
    "done_at": _time,
    "dead_at": _time,
    "reason": _text,
    "attempts": _attempts,
}
_ATTEMPT: Mapping[str, _Reader] = {
    "number": _count,
    "at": moment_of,
    "cause": _text,
    "reason": _text,
    "worker": _text,
}
