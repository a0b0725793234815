"""The environment of a command: what is listed of the processor's own, and the message's fields."""

import json
from collections.abc import Mapping

from fmq.message import Message
from fmq.message_json import property_fields

_LONGEST = 64 * 1024
"""Linux refuses to start a program with a variable of 128 KiB or more (execve(2), MAX_ARG_STRLEN)."""


def environment(message: Message, passed_on: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Each variable as bytes. Those that are longer than 64 KiB are left out."""
    fields = {
        "ID": str(message.id),
        "QUEUE": message.queue,
        "TOPIC": message.topic,
        "RECEIVED_AT": repr(message.received_at),
        "RETRY_COUNT": str(message.retry_count),
        "QOS": str(message.qos),
        "RETAIN": str(int(message.retain)),
        "CONTENT_TYPE": message.properties.content_type or "",
        "PROPERTIES": json.dumps(property_fields(message.properties)),
    }
    variables = {f"FMQ_MESSAGE_{name}".encode(): _encoded(value) for name, value in fields.items()}
    return dict(passed_on) | {name: value for name, value in variables.items() if len(value) <= _LONGEST}


def _encoded(text: str) -> bytes:
    """UTF-8; what can't stand in a variable, NUL and lone surrogates, is replaced by U+FFFD."""
    return "".join("\ufffd" if char == "\0" or "\ud800" <= char <= "\udfff" else char for char in text).encode()
