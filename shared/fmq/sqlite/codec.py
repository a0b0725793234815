"""MQTT 5 properties as JSON text, so that plain SQL can look into them, and rows as messages."""

import base64
import json
from typing import Any

from fmq.message import NO_PROPERTIES, Message, Properties

MESSAGE_COLUMNS = "id, topic, payload, received_at, qos, retain, retry_count, properties"

TOPIC_FACTOR, PROPERTIES_FACTOR = 4, 20
MOST_AT_SIGHT = 64 * 1024
"""The longest payload or properties, in bytes, that are read before it is known whether their message is wanted."""

_PLAIN = ("payload_format_indicator", "message_expiry_interval", "content_type", "response_topic")
_BINARY = ("correlation_data", "raw")


def held_bytes(row: str) -> str:
    """SQL for how many bytes of memory a message takes: of the table or alias ``row``, without reading what is long.

    As ``Message.held_bytes``, from above: each pair of user properties, `["ab","cd"],` with its comma, becomes a tuple and
    two strings of about 200 bytes, and one character beyond the BMP makes a string take four bytes for each of them.
    """
    return (
        f"octet_length({row}.payload) + {TOPIC_FACTOR} * octet_length({row}.topic) "
        f"+ {PROPERTIES_FACTOR} * ifnull(octet_length({row}.properties), 0)"
    )


def encode_properties(properties: Properties | None) -> str | None:
    """JSON with what is set; None if nothing is."""
    if properties is None or properties == NO_PROPERTIES:
        return None
    encoded: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(properties, name)) is not None}
    for name in _BINARY:
        if (data := getattr(properties, name)) is not None:
            encoded[name] = base64.b64encode(data).decode("ascii")
    if properties.user_properties:
        encoded["user_properties"] = properties.user_properties
    return json.dumps(encoded, separators=(",", ":"))  # ASCII, so that any string a broker sends can be stored


def decode_properties(text: str | None) -> Properties:
    """The inverse of ``encode_properties``."""
    if text is None:
        return NO_PROPERTIES
    decoded = json.loads(text)
    for name in _BINARY:
        if name in decoded:
            decoded[name] = base64.b64decode(decoded[name])
    users = decoded.pop("user_properties", ())
    return Properties(**decoded, user_properties=tuple((key, value) for key, value in users))


def decode_message(queue: str, row: tuple[Any, ...]) -> Message:
    """A row of ``MESSAGE_COLUMNS`` as a message."""
    number, topic, payload, received_at, qos, retain, retry_count, properties = row
    return Message(
        number,
        queue,
        topic,
        payload if isinstance(payload, bytes) else str(payload).encode(),  # somebody's own INSERT
        received_at,
        1 if qos is None else qos,
        retain == 1,
        retry_count,
        NO_PROPERTIES if properties is None else decode_properties(properties),
    )
