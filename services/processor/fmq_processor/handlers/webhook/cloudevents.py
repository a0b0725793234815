"""A message as a CloudEvents 1.0 event, by the HTTP binding and the JSON format of its version 1.0.2."""

import base64
import json
import re
from contextlib import suppress
from typing import NoReturn
from uuid import UUID

from fmq.message import Message
from fmq_processor.handlers.webhook.envelope import Envelope, content_type, header_text, received_at

_REQUIRED = frozenset({"specversion", "id", "source", "type"})
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"[^;]*[/+]json *(?:;.*)?", re.IGNORECASE)


class Events:
    """Makes events. A message that is an event by the MQTT 5 binding stays that event, with its own attributes."""

    def __init__(self, *, event_type: str, source: str) -> None:
        self._type = event_type
        self._source = source

    def binary(self, message: Message, unique: UUID) -> Envelope:
        """Attributes in headers, the payload as the body."""
        if _is_structured(message):
            return _as_it_is(message)
        headers = {f"ce-{name}": header_text(value) for name, value in self._attributes(message, unique).items()}
        return Envelope(message.payload, headers | {"content-type": _Data(message).media_type})

    def structured(self, message: Message, unique: UUID) -> Envelope:
        """Attributes and payload in one JSON object. A JSON payload is copied into it unchanged."""
        if _is_structured(message):
            return _as_it_is(message)
        data = _Data(message)
        attributes = self._attributes(message, unique) | {"datacontenttype": data.media_type}
        head = json.dumps(attributes, separators=(",", ":"))[:-1]
        body = f"{head},{data.member()}}}".encode()
        return Envelope(body, {"content-type": "application/cloudevents+json; charset=UTF-8"})

    def _attributes(self, message: Message, unique: UUID) -> dict[str, str]:
        own = {
            name: value for name, value in message.properties.user_properties if _ATTRIBUTE.fullmatch(name) and value
        }
        own = {name: value for name, value in own.items() if name not in ("data", "datacontenttype")}
        if own.keys() >= _REQUIRED and own["specversion"] == "1.0":
            return own
        attributes = {
            "specversion": "1.0",
            "id": str(unique),
            "source": self._source,
            "type": self._type,
            "subject": message.topic,
        }
        at = received_at(message)
        return attributes if at is None else attributes | {"time": at}


def _is_structured(message: Message) -> bool:
    return (content_type(message) or "").lower().startswith("application/cloudevents")


def _as_it_is(message: Message) -> Envelope:
    return Envelope(message.payload, {"content-type": content_type(message) or ""})


class _Data:
    """A payload, its type, and its form in a JSON event (JSON format, section 3.1)."""

    def __init__(self, message: Message) -> None:
        self._payload = message.payload
        self._text: str | None = None
        with suppress(UnicodeDecodeError):
            self._text = message.text
        self._is_json = self._text is not None and _is_json(self._text)
        self.media_type = content_type(message) or self._guess()

    def member(self) -> str:
        """The member ``data`` or ``data_base64`` with its value."""
        if self._text is None or (_JSON_TYPE.fullmatch(self.media_type) and not self._is_json):
            return f'"data_base64":"{base64.b64encode(self._payload).decode("ascii")}"'
        return f'"data":{self._text if _JSON_TYPE.fullmatch(self.media_type) else json.dumps(self._text)}'

    def _guess(self) -> str:
        if self._text is None:
            return "application/octet-stream"
        return "application/json" if self._is_json else "text/plain; charset=utf-8"


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # Python takes NaN and Infinity
