"""Makes the PUBLISH of a message."""

from functools import lru_cache
from uuid import UUID

from paho.mqtt import MQTTException

import fmq
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import Message
from fmq.mqtt.packets import Packet, make_packet, publish_properties
from fmq.outcome import Reject
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.mqtt.template import Template

MARK = "fmq-forwarded-from"
"""The user property with the store and queue that a message was forwarded from. Each store that it passes adds its own."""
_KEPT = 1_024


class Packets:
    """Makes the packets of messages that come from ``store``."""

    def __init__(self, settings: MqttSettings, store: UUID, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._template = Template(settings.mqtt_topic)
        self._v5 = settings.mqtt_protocol == "5"
        self._retain = settings.mqtt_retain == "keep"
        self._guards = not settings.mqtt_loops
        self._store = str(store)
        self._clock = clock

    def packet(self, message: Message) -> Packet:
        """The packet of a message. Raises Reject if there can't be one, or if the message has come back."""
        mark = f"{self._store}:{message.queue}" if self._guards else None
        if mark is not None and (MARK, mark) in message.properties.user_properties:
            raise Reject(
                "it was forwarded from this queue and has come back, because this queue subscribes to the target topic "
                "(change FMQ_MQTT_TOPIC, or set FMQ_MQTT_LOOPS=true if this is intended)"
            )
        topic = self._template.topic(message)
        properties = self._properties(message, mark) if self._v5 else b""
        try:
            return make_packet(topic, message.payload, retain=message.retain and self._retain, properties=properties)
        except ValueError as error:
            raise Reject(f"it can't be sent: {error}") from error

    def _properties(self, message: Message, mark: str | None) -> bytes:
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
def _encode(kept: fmq.Properties, expiry: int | None, mark: str | None) -> bytes:
    """Many messages have the same properties."""
    return publish_properties(kept, expiry=expiry, more=() if mark is None else ((MARK, mark),))
