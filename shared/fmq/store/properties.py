"""MQTT 5 properties as JSON text, in the form that every backend keeps."""

import base64
import json
import logging
from contextlib import suppress
from typing import Any

from fmq.message import NO_PROPERTIES, Properties

_log = logging.getLogger(__name__)
_KINDS: dict[str, type] = {
    "payload_format_indicator": int,
    "message_expiry_interval": int,
    "content_type": str,
    "response_topic": str,
}
_BINARY = ("correlation_data", "raw")
_RAW, _BETWEEN_PAIRS, _USERS = '{"raw":"', '"],["', ',"user_properties":['


def encode_properties(properties: Properties | None) -> str | None:
    """JSON with what is set; None if nothing is."""
    if properties is None or properties == NO_PROPERTIES:
        return None
    encoded: dict[str, Any] = {name: value for name in _KINDS if (value := getattr(properties, name)) is not None}
    for name in _BINARY:
        if (data := getattr(properties, name)) is not None:
            encoded[name] = base64.b64encode(data).decode("ascii")
    if properties.user_properties:
        encoded["user_properties"] = properties.user_properties
    return json.dumps(encoded, separators=(",", ":"))  # ASCII, so that any string a broker sends can be stored


def decode_properties(text: str | None) -> Properties:
    """The inverse of ``encode_properties``. Raises ValueError and others for text that it did not write."""
    if text is None:
        return NO_PROPERTIES
    decoded = json.loads(text)
    for name in _BINARY:
        if name in decoded:
            decoded[name] = base64.b64decode(decoded[name])
    users = decoded.pop("user_properties", ())
    return Properties(**decoded, user_properties=tuple((key, value) for key, value in users))


def first_properties(text: str) -> Properties:
    """The properties in the beginning of a long text that ``encode_properties`` wrote; of ``raw``, its beginning."""
    if text.startswith(_RAW):
        data = text[len(_RAW) :]
        with suppress(ValueError):
            return Properties(raw=base64.b64decode(data[: len(data) // 4 * 4]))
        return NO_PROPERTIES
    # Neither mark can be in a value: there, quotation marks follow backslashes.
    pair, users = text.rfind(_BETWEEN_PAIRS), text.find(_USERS)
    if pair >= 0:
        return readable_properties(f"{text[: pair + 2]}]}}")
    return readable_properties(f"{text[:users]}}}") if users > 0 else NO_PROPERTIES


def readable_properties(text: str | None) -> Properties:
    """What ``encode_properties`` wrote; none without it, or if it was somebody else."""
    if text is None:
        return NO_PROPERTIES
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        found = decode_properties(text)
        if all(isinstance(getattr(found, name), kind | None) for name, kind in _KINDS.items()) and all(
            isinstance(part, str) for pair in found.user_properties for part in pair
        ):
            return found
    # Without the text: it may be what a page must not show.
    _log.warning("A message's properties (%d bytes) can't be read, and are left out", len(text))
    return NO_PROPERTIES
