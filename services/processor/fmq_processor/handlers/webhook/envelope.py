"""A message as body and headers of a request."""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from fmq.message import Message
from fmq.message_json import message_json

_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_MEDIA_TYPE = re.compile(r"[!#$&^_.+0-9A-Za-z-]+/[!#$&^_.+0-9A-Za-z-]+(?: *;[ -~]*)?")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_TRACE = ("traceparent", "tracestate")


class Envelope(NamedTuple):
    """A request. The names of headers are in lower case."""

    body: bytes
    headers: dict[str, str]


def raw(message: Message, unique: UUID) -> Envelope:  # noqa: ARG001 - other forms need it
    """The payload as it is."""
    return Envelope(message.payload, {"content-type": content_type(message) or "application/octet-stream"})


def as_json(message: Message, unique: UUID) -> Envelope:  # noqa: ARG001 - as above
    """The message as JSON."""
    return Envelope(message_json(message).encode("ascii"), {"content-type": "application/json"})


def about(message: Message) -> dict[str, str]:
    """Headers that describe the message and pass on its trace."""
    headers = {
        "fmq-topic": header_text(message.topic),
        "fmq-queue": header_text(message.queue),
        "fmq-id": str(message.id),
        "fmq-attempt": str(message.retry_count + 1),
    }
    at = received_at(message)
    if at is not None:
        headers["fmq-received-at"] = at
    for name in _TRACE:
        value = message.properties.user(name)
        if value is not None and _PLAIN.fullmatch(value):
            headers[name] = value
    return headers


def content_type(message: Message) -> str | None:
    """The MQTT 5 content type, if it is valid in a header."""
    value = message.properties.content_type
    return value if value is not None and _MEDIA_TYPE.fullmatch(value) else None


def received_at(message: Message) -> str | None:
    """The time as RFC 3339 in UTC; None if it is not a date."""
    try:
        return datetime.fromtimestamp(message.received_at, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None  # somebody's own INSERT


def header_text(text: str) -> str:
    """Any text as the value of a header: percent-encoded UTF-8, except printable ASCII.

    As the HTTP binding of CloudEvents 1.0.2 has it, section 3.1.3.2: also for spaces, double quotes and per cents.
    """
    return quote(text, safe=_SAFE, errors="replace")
