"""A PUBLISH on its way, and its properties."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

import fmq
from fmq.topics import require_topic

_PUBLISH = 0x30
_RETAIN = 1
_LONGEST = 268_435_455
"""Bytes (MQTT 5, section 1.5.5)."""
_KEPT = 1_024


class Packet(NamedTuple):
    """A PUBLISH without its packet identifier, which belongs between ``head`` and ``properties``.

    ``head`` is the flags, the length and the topic. ``properties`` are encoded with their length; empty for MQTT 3.1.1.
    ``size`` is that of the whole packet in bytes.
    """

    topic: str
    head: bytes
    properties: bytes
    payload: bytes
    retain: bool
    size: int
    qos: int

    def limited(self, *, qos: int, retains: bool) -> "Packet":
        """The same with at most this QoS, which is at least 1, and without the retain flag if nobody ``retains``."""
        retain, qos = self.retain and retains, min(self.qos, qos)
        return make_packet(self.topic, self.payload, retain=retain, properties=self.properties, qos=qos)


def make_packet(topic: str, payload: bytes, *, retain: bool, properties: bytes, qos: int = 1) -> Packet:
    """A packet of QoS 1 or 2, with ``properties`` as ``publish_properties`` returns them, or none for MQTT 3.1.1.

    Raises ValueError for a topic that nobody can publish on, and for a packet that is too large for MQTT.
    """
    left = 2 + len(properties) + len(payload)
    head = _encode_head(topic, left, _PUBLISH | qos << 1 | (_RETAIN if retain else 0))
    return Packet(topic, head, properties, payload, retain, len(head) + left, qos)


def publish_properties(kept: fmq.Properties, *, expiry: int | None, more: Sequence[tuple[str, str]] = ()) -> bytes:
    """The properties of a stored message, encoded with their length.

    ``expiry`` replaces the Message Expiry Interval, in seconds; ``more`` are further user properties. Raises MQTTException and
    ValueError for what can't be sent.
    """
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, value in (
        ("PayloadFormatIndicator", kept.payload_format_indicator),
        ("MessageExpiryInterval", expiry),
        ("ContentType", kept.content_type),
        ("ResponseTopic", kept.response_topic),
        ("CorrelationData", kept.correlation_data),
    ):
        if value is not None:
            setattr(properties, name, value)
    pairs = [*kept.user_properties, *more]
    if pairs:
        properties.UserProperty = pairs
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


@lru_cache(_KEPT)
def _encode_head(topic: str, left: int, first: int) -> bytes:
    """The beginning of a packet, up to its packet identifier. Raises ValueError (MQTT 5, section 4.7.3).

    ``left`` is how many bytes follow it; ``first`` is the first byte. Many messages begin alike.
    """
    try:
        require_topic(topic)
    except ValueError as error:
        raise ValueError(f"nobody can publish on its topic: {error}") from error
    name = topic.encode()
    length = 2 + len(name) + left
    if length > _LONGEST:
        raise ValueError(f"its {length} bytes are too many for a packet")
    encoded: bytes = VariableByteIntegers.encode(length)  # type: ignore[no-untyped-call]
    return bytes([first]) + encoded + len(name).to_bytes(2, "big") + name
