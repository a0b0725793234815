"""Sources of column values, such as ``topic.2``, ``json:/temperature`` or ``user:tenant``."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from fmq.message import Message, unique_text
from fmq.outcome import Reject

_LEVEL = re.compile(r"topic\.([1-9][0-9]*)")
_INDEX = re.compile(r"0|[1-9][0-9]*")
_PROPERTIES = (
    "content_type",
    "correlation_data",
    "message_expiry_interval",
    "payload_format_indicator",
    "response_topic",
)
KNOWN = (
    "key",
    "store",
    "topic",
    "topic.N",
    "payload",
    "body",
    "json:PATH",
    "user:NAME",
    "queue",
    "id",
    "received_at",
    "qos",
    "retain",
)


class Fields:
    """The values of one message. Its payload is parsed as JSON once, and only if a source needs it."""

    def __init__(self, message: Message, store: UUID) -> None:
        self.message = message
        self.store = store

    @cached_property
    def json(self) -> Any:  # noqa: ANN401 - whatever the publisher wrote
        """The payload as decoded by the processor; bytes and text are parsed as JSON. Raises Reject."""
        body = self.message.body
        try:
            return json.loads(body) if isinstance(body, bytes | str) else body
        except (ValueError, RecursionError) as error:
            raise Reject(f"the payload is not JSON: {error}") from error


Source = Callable[[Fields], object]
"""Returns a value, or None if the message has none. Raises Reject."""


def parse_source(text: str) -> Source:
    """Parse a source. Raises ValueError with what is expected."""
    kind, colon, name = text.partition(":")
    if colon and name:
        if kind == "json":
            steps = _steps(name)
            return lambda fields: _follow(fields.json, steps)
        if kind == "user":
            return lambda fields: fields.message.properties.user(name)
    level = _LEVEL.fullmatch(text)
    if level:
        number = int(level[1])
        return lambda fields: _level(fields.message.topic, number)
    if text in _PROPERTIES:
        return lambda fields: getattr(fields.message.properties, text)
    plain = _PLAIN.get(text)
    if plain is None:
        raise ValueError(f"unknown source {text!r}: expected one of {', '.join((*KNOWN, *_PROPERTIES))}")
    return plain


_PLAIN: Mapping[str, Source] = {
    "key": lambda fields: unique_text(fields.store, fields.message),
    "store": lambda fields: str(fields.store),
    "topic": lambda fields: fields.message.topic,
    "payload": lambda fields: fields.message.payload,
    "body": lambda fields: fields.message.body,
    "queue": lambda fields: fields.message.queue,
    "id": lambda fields: fields.message.id,
    "received_at": lambda fields: fields.message.received_at,
    "qos": lambda fields: fields.message.qos,
    "retain": lambda fields: fields.message.retain,
}


def _level(topic: str, number: int) -> str | None:
    levels = topic.split("/")
    return levels[number - 1] if number <= len(levels) else None


def _steps(path: str) -> Sequence[str]:
    """The steps of a JSON pointer (RFC 6901: starts with a slash) or of a path with dots."""
    if not path.startswith("/"):
        return path.split(".")
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _follow(value: Any, steps: Sequence[str]) -> object:  # noqa: ANN401 - JSON
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
