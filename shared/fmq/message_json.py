"""A message as JSON: one shape for files, commands, programs and webhooks."""

import base64
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from fmq.message import LATEST_MOMENT, DeadLetter, Incoming, Message, Properties
from fmq.topics import parse


def message_fields(message: Message) -> dict[str, Any]:
    """What JSON holds of a message, by the names of the guide's columns where it has them.

    ``payload`` is the text, where the payload is UTF-8; else null, with the bytes in ``payload_base64``.
    """
    fields: dict[str, Any] = {
        "id": message.id,
        "queue": message.queue,
        "topic": message.topic,
        "received_at": message.received_at,
        "retry_count": message.retry_count,
        "qos": message.qos,
        "retain": message.retain,
        "properties": property_fields(message.properties),
    }
    try:
        fields["payload"] = message.text
    except UnicodeDecodeError:
        fields |= {"payload": None, "payload_base64": _base64(message.payload)}
    return fields


def property_fields(properties: Properties) -> dict[str, Any]:
    """What is set of the MQTT 5 properties; ``correlation_data`` and ``raw`` in base64, ``user_properties`` as pairs."""
    values = {name: getattr(properties, name) for name in _PROPERTY_KINDS}
    return {
        name: _base64(value) if name in _BINARY else value for name, value in values.items() if value not in (None, ())
    }


def letter_fields(letter: DeadLetter) -> dict[str, Any]:
    """The same of a dead letter, with ``reason`` and ``dead_at`` (Unix seconds)."""
    return {**message_fields(letter.message), "reason": letter.reason, "dead_at": letter.dead_at}


def message_json(message: Message) -> str:
    """One line of ASCII, without its end, that begins with ``JSON_BEGINS``; what is not ASCII is escaped.

    So there is nothing in it that any reader takes for the end of a line, and strings that no UTF-8 holds (lone
    surrogates) do no harm.
    """
    return json.dumps(message_fields(message), separators=(",", ":"))


def read_message_json(line: str | bytes) -> Incoming:
    """The message in a line of ``message_json``, to be stored again; what else stands there is not looked at.

    Raises ValueError that names each wrong field.
    """
    try:
        fields = json.loads(line, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text; is the file compressed?") from None
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - like everything else that is wrong with the line
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, read in _READ.items():
        try:
            values[name] = read(fields, name)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return Incoming(**values)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a member that is given twice, readers take one or the other (RFC 8259, section 4): here neither."""
    found = dict(members)
    if len(found) < len(members):
        twice = sorted(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise ValueError(f"given more than once: {', '.join(twice)}")
    return found


_PROPERTY_KINDS: dict[str, type] = {
    "payload_format_indicator": int,
    "message_expiry_interval": int,
    "content_type": str,
    "response_topic": str,
    "correlation_data": str,
    "user_properties": list,
    "raw": str,
}
_BINARY = ("correlation_data", "raw")


def _field(fields: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:  # noqa: ANN401 - of that kind
    value = fields.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(
            f"{name} is missing" if value is None else f"{name} is {_shown(value)}, which is of a wrong kind"
        )
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    return str(_field(fields, name, str))


def _moment(fields: dict[str, Any], name: str) -> float:
    value = _field(fields, name, (int, float))
    if not 0 <= value < LATEST_MOMENT:
        hint = " (milliseconds?)" if LATEST_MOMENT <= value < 1_000 * LATEST_MOMENT else ""
        raise ValueError(f"{name} is {_shown(value)}{hint}: expected Unix seconds, from 0 up to the year 9999")
    return float(value)


def _qos(fields: dict[str, Any], name: str) -> int:
    value: int = _field(fields, name, int)
    if value not in (0, 1, 2):
        raise ValueError(f"{name} is {_shown(value)}: expected 0, 1 or 2")
    return value


def _payload(fields: dict[str, Any], name: str) -> bytes:
    if fields.get(name) is None:
        return _bytes(fields, f"{name}_base64")
    try:
        return _text(fields, name).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is text that no UTF-8 holds (a lone surrogate)") from None


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    text = _field(fields, name, str)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # also of text that is not ASCII
        raise ValueError(f"{name} is no base64: {error}") from None


def _properties(message: dict[str, Any], name: str) -> Properties | None:
    fields: dict[str, Any] = _field({name: {}, **message}, name, dict)
    if unknown := fields.keys() - _PROPERTY_KINDS:
        raise ValueError(f"{', '.join(sorted(unknown))}: no property of MQTT 5 that is kept")
    values = {name: _field(fields, name, _PROPERTY_KINDS[name]) for name in fields}
    for binary in _BINARY:
        if binary in values:
            values[binary] = _bytes(fields, binary)
    if "user_properties" in values:
        pairs = values["user_properties"]
        if not all(isinstance(pair, list) and [type(part) for part in pair] == [str, str] for pair in pairs):
            raise ValueError(f"user_properties is {_shown(pairs)}: expected pairs of texts")
        values["user_properties"] = tuple(tuple(pair) for pair in pairs)
    for limited, most in _LIMITS.items():
        if not 0 <= values.get(limited, 0) <= most:
            raise ValueError(f"{limited} is {_shown(values[limited])}: expected a whole number from 0 to {most}")
    return Properties(**values) if values else None


def _shown(value: object) -> str:
    return f"{value!r:.60}"


_READ: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "queue": _text,
    "topic": _text,
    "payload": _payload,
    "received_at": _moment,
    "qos": _qos,
    "retain": lambda fields, name: _field(fields, name, bool),
    "properties": _properties,
}
_LIMITS = {"payload_format_indicator": 1, "message_expiry_interval": 2**32 - 1}
"""MQTT 5, sections 3.3.2.3.2 and 3.3.2.3.3."""


def require_storable(message: Incoming) -> None:
    """Raise ValueError unless a store takes ``message``: its queue is a topic filter, its topic UTF-8."""
    parse(message.queue)
    try:
        message.topic.encode()
    except UnicodeEncodeError:
        raise ValueError("topic is text that no UTF-8 holds (a lone surrogate)") from None


JSON_BEGINS = '{"id":'
"""How each ``message_json`` begins."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
