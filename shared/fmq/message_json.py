"""A message as JSON: one shape for files, commands, programs and webhooks."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fmq.message import LATEST_MOMENT, NO_PROPERTIES, DeadLetter, Incoming, Message, Properties
from fmq.topics import parse

_encode = json.JSONEncoder(separators=(",", ":")).encode
_quote = json.encoder.encode_basestring_ascii
_quote_name = lru_cache(4_096)(_quote)
JSON_BEGINS = '{"id":'
"""The start of each ``message_json``."""


def message_fields(message: Message) -> dict[str, Any]:
    """The fields of a message in JSON, named after the columns of a queue's table.

    ``payload`` is the text if the payload is UTF-8. Otherwise it is null, and ``payload_base64`` has the bytes.
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
    """The MQTT 5 properties that are set; ``correlation_data`` and ``raw`` in base64, ``user_properties`` as pairs."""
    if properties is NO_PROPERTIES:
        return {}
    values = {name: getattr(properties, name) for name in _PROPERTY_KINDS}
    return {
        name: _base64(value) if name in _BINARY else value for name, value in values.items() if value not in (None, ())
    }


def letter_fields(letter: DeadLetter) -> dict[str, Any]:
    """The fields of a dead letter, with ``reason`` and ``dead_at`` (Unix seconds)."""
    return {**message_fields(letter.message), "reason": letter.reason, "dead_at": letter.dead_at}


def message_json(message: Message) -> str:
    """``message_fields`` as one line of ASCII, without its end, that starts with ``JSON_BEGINS``. Other characters are escaped.

    So it has nothing that a reader could take for the end of a line, and strings that UTF-8 can't encode (lone surrogates)
    do no harm.
    """
    # Written part by part: in the same bytes, json's encoder takes four times as long.
    number, queue, topic, payload, received_at, qos, retain, retry_count, properties = message
    try:
        content = _quote(payload.decode())
    except UnicodeDecodeError:
        content = f'null,"payload_base64":"{_base64(payload)}"'
    kept = "{}" if properties is NO_PROPERTIES else _encode(property_fields(properties))
    return (
        f'{JSON_BEGINS}{number},"queue":{_quote_name(queue)},"topic":{_quote_name(topic)},"received_at":{received_at!r},'
        f'"retry_count":{retry_count},"qos":{qos},"retain":{"true" if retain else "false"},"properties":{kept},"payload":{content}}}'
    )


def read_message_json(line: str | bytes) -> Incoming:
    """The message in a line of ``message_json``, to be stored again. Ignores unknown fields.

    Raises ValueError that names each invalid field.
    """
    return incoming_of(read_fields(line))


def read_fields(line: str | bytes) -> dict[str, Any]:
    """The JSON object in a line. Raises ValueError."""
    try:
        fields = json.loads(line, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text; is the file compressed?") from None
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - like everything else that is wrong with the line
    return fields


def incoming_of(fields: dict[str, Any]) -> Incoming:
    """The message in fields of ``message_fields``. Raises ValueError that names each invalid field."""
    return Incoming(**read_each(fields, _READ))


def read_each(fields: dict[str, Any], readers: Mapping[str, Callable[[dict[str, Any], str], Any]]) -> dict[str, Any]:
    """What each reader makes of the field of its name. Raises ValueError that names each invalid field."""
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, read in readers.items():
        try:
            values[name] = read(fields, name)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return values


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Readers differ on a name that is given twice (RFC 8259, section 4): this one refuses it."""
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


def field_of(fields: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:  # noqa: ANN401 - of that kind
    """A field that has to be of a kind. Raises ValueError."""
    value = fields.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(
            f"{name} is missing" if value is None else f"{name} is {_shown(value)}, which has the wrong type"
        )
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    return str(field_of(fields, name, str))


def moment_of(fields: dict[str, Any], name: str) -> float:
    """A field with a time in Unix seconds. Raises ValueError."""
    value = field_of(fields, name, (int, float))
    if not 0 <= value < LATEST_MOMENT:
        hint = " (milliseconds?)" if LATEST_MOMENT <= value < 1_000 * LATEST_MOMENT else ""
        raise ValueError(f"{name} is {_shown(value)}{hint}: expected Unix seconds, from 0 up to the year 9999")
    return float(value)


def _qos(fields: dict[str, Any], name: str) -> int:
    value: int = field_of(fields, name, int)
    if value not in (0, 1, 2):
        raise ValueError(f"{name} is {_shown(value)}: expected 0, 1 or 2")
    return value


def _payload(fields: dict[str, Any], name: str) -> bytes:
    if fields.get(name) is None:
        return _bytes(fields, f"{name}_base64")
    try:
        return _text(fields, name).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is text that UTF-8 can't encode (a lone surrogate)") from None


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    text = field_of(fields, name, str)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:  # also of text that is not ASCII
        raise ValueError(f"{name} is not base64: {error}") from None


def _properties(message: dict[str, Any], name: str) -> Properties | None:
    fields: dict[str, Any] = field_of({name: {}, **message}, name, dict)
    if unknown := fields.keys() - _PROPERTY_KINDS:
        raise ValueError(f"{', '.join(sorted(unknown))}: not an MQTT 5 property that fmq keeps")
    values = {name: field_of(fields, name, _PROPERTY_KINDS[name]) for name in fields}
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
    "received_at": moment_of,
    "qos": _qos,
    "retain": lambda fields, name: field_of(fields, name, bool),
    "properties": _properties,
}
_LIMITS = {"payload_format_indicator": 1, "message_expiry_interval": 2**32 - 1}
"""MQTT 5, sections 3.3.2.3.2 and 3.3.2.3.3."""


def require_storable(message: Incoming) -> None:
    """Raise ValueError unless a store accepts ``message``: its queue is a topic filter, its topic is UTF-8."""
    parse(message.queue)
    try:
        message.topic.encode()
    except UnicodeEncodeError:
        raise ValueError("topic is text that UTF-8 can't encode (a lone surrogate)") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
