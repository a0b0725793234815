"""A message as JSON: one shape for files, commands, programs and webhooks."""

import base64
import json
from dataclasses import asdict
from typing import Any

from fmq.message import DeadLetter, Message


def message_fields(message: Message) -> dict[str, Any]:
    """What JSON holds of a message, by the names of the guide's columns where it has them.

    ``payload`` is the text, where the payload is UTF-8; else null, with the bytes in ``payload_base64``.
    ``properties`` has what is set of the MQTT 5 properties, ``correlation_data`` in base64.
    """
    properties = {name: value for name, value in asdict(message.properties).items() if value not in (None, ())}
    if "correlation_data" in properties:
        properties["correlation_data"] = _base64(properties["correlation_data"])
    fields: dict[str, Any] = {
        "id": message.id,
        "queue": message.queue,
        "topic": message.topic,
        "received_at": message.received_at,
        "retry_count": message.retry_count,
        "qos": message.qos,
        "retain": message.retain,
        "properties": properties,
    }
    try:
        fields["payload"] = message.text
    except UnicodeDecodeError:
        fields |= {"payload": None, "payload_base64": _base64(message.payload)}
    return fields


def letter_fields(letter: DeadLetter) -> dict[str, Any]:
    """The same of a dead letter, with ``reason`` and ``dead_at`` (Unix seconds)."""
    return {**message_fields(letter.message), "reason": letter.reason, "dead_at": letter.dead_at}


def message_json(message: Message) -> str:
    """One line of ASCII, without its end, that begins with ``JSON_BEGINS``; what is not ASCII is escaped.

    So there is nothing in it that any reader takes for the end of a line, and strings that no UTF-8 holds (lone
    surrogates) do no harm.
    """
    return json.dumps(message_fields(message), separators=(",", ":"))


JSON_BEGINS = '{"id":'
"""How each ``message_json`` begins."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
