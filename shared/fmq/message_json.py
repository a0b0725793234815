"""A message as JSON: one shape for files, commands, programs and webhooks."""

import base64
import binascii
import json
import math
from typing import Any

from fmq.message import DeadLetter, Incoming, Message, Properties


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

    Raises ValueError that says what is wrong.
    """
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - like everything else that is wrong with the line
    values = {name: _field(fields, name, kind) for name, kind in _KINDS.items()}
    if values["qos"] not in (0, 1, 2):
        raise ValueError(f"qos is {values['qos']!r}, and would be 0, 1 or 2")
    if not math.isfinite(values["received_at"]):
        raise ValueError(f"received_at is {values['received_at']!r}, and would be Unix seconds")
    return Incoming(**values, payload=_payload(fields), properties=_properties(fields.get("properties", {})))


_KINDS: dict[str, type | tuple[type, ...]] = {
    "queue": str,
    "topic": str,
    "received_at": (int, float),
    "qos": int,
    "retain": bool,
}
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
        raise ValueError(f"{name} is missing" if value is None else f"{name} is {value!r}, which is of a wrong kind")
    return value


def _payload(fields: dict[str, Any]) -> bytes:
    if fields.get("payload") is not None:
        text: str = _field(fields, "payload", str)
        return text.encode()
    return _bytes(fields, "payload_base64")


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_field(fields, name, str), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is no base64: {error}") from None


def _properties(fields: object) -> Properties | None:
    if not isinstance(fields, dict):
        raise ValueError(f"properties is {fields!r}, which is of a wrong kind")  # noqa: TRY004 - as everything wrong here
    if unknown := fields.keys() - _PROPERTY_KINDS:
        raise ValueError(f"{', '.join(sorted(unknown))}: no property of MQTT 5 that is kept")
    values = {name: _field(fields, name, _PROPERTY_KINDS[name]) for name in fields}
    for name in _BINARY:
        if name in values:
            values[name] = _bytes(fields, name)
    if "user_properties" in values:
        pairs = values["user_properties"]
        if not all(isinstance(pair, list) and [type(part) for part in pair] == [str, str] for pair in pairs):
            raise ValueError(f"user_properties is {pairs!r}, and would be pairs of texts")
        values["user_properties"] = tuple(tuple(pair) for pair in pairs)
    return Properties(**values) if values else None


JSON_BEGINS = '{"id":'
"""How each ``message_json`` begins."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
