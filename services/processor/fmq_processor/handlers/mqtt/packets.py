"""What a message is published as."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import fmq
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import Message
from fmq.outcome import Reject
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.mqtt.template import Template

MARK = "fmq-forwarded-from"
"""The user property that tells which store and queue a message was forwarded from; each one that it passed adds its own."""
_HEADER_BYTES = 1 + 4 + 2 + 2
"""The most that a PUBLISH has beside topic, properties and payload: type, length, the topic's length, packet id."""
_KEPT = 1_024


class Packet(NamedTuple):
    """A PUBLISH on its way. ``size`` is at least that of the packet, in bytes."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties | None
    size: int


class Packets:
    """Makes the packets of messages that come from ``store``."""

    def __init__(self, settings: MqttSettings, store: UUID, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._template = Template(settings.mqtt_topic)
        self._v5 = settings.mqtt_protocol == "5"
        self._retain = settings.mqtt_retain == "keep"
        self._guards = not settings.mqtt_loops
        self._store = store
        self._clock = clock

    def packet(self, message: Message) -> Packet:
        """The packet of a message. Raises Reject if there can't be one, or if the message has come back."""
        mark = f"{self._store}:{message.queue}" if self._guards else None
        if mark is not None and (MARK, mark) in message.properties.user_properties:
            raise Reject(
                "it was forwarded from this queue and has come back: the topic that it was forwarded to is one that this "
                "queue collects (set FMQ_MQTT_TOPIC to another, or FMQ_MQTT_LOOPS if this is meant)"
            )
        topic = self._template.topic(message)
        properties, size = self._properties(message, mark) if self._v5 else (None, 0)
        size += _HEADER_BYTES + len(topic.encode()) + len(message.payload)
        return Packet(topic, message.payload, message.retain and self._retain, properties, size)

    def _properties(self, message: Message, mark: str | None) -> tuple[Properties | None, int]:
        kept = message.properties
        expiry = kept.message_expiry_interval
        if expiry is not None:
            # What is left of it (MQTT 5, section 3.3.2.3.3).
            expiry = max(1, expiry - max(0, int(self._clock.wall() - message.received_at)))
        try:
            return _encode(kept, expiry, mark)
        except (MQTTException, ValueError) as error:
            raise Reject(f"its properties can't be sent: {error}") from error


@lru_cache(_KEPT)
def _encode(kept: fmq.Properties, expiry: int | None, mark: str | None) -> tuple[Properties | None, int]:
    """Properties as paho takes them, and their size; many messages have the same."""
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
    pairs = [*kept.user_properties, *([(MARK, mark)] if mark is not None else [])]
    if pairs:
        properties.UserProperty = pairs
    encoded = properties.pack()  # type: ignore[no-untyped-call]
    return properties, len(encoded)
