"""From the wire to a batch: the only module that looks into a received message.

``Reader.read`` and the packets it takes from paho's per-message callback are the seam where a faster decoder goes in;
everything behind it deals in ``Batch``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.properties import Properties as PahoProperties

from fmq.clock import Clock
from fmq.message import Incoming, Properties
from fmq_listener.filters import Router

_AT_LEAST_ONCE, _EXACTLY_ONCE = 1, 2
_LONGEST_READ = 0.1
"""Seconds. Beyond it the commit of what came first begins, however fast more arrives."""
_KEPT = frozenset(
    (
        "PayloadFormatIndicator",
        "MessageExpiryInterval",
        "ContentType",
        "ResponseTopic",
        "CorrelationData",
        "UserProperty",
    )
)


@dataclass(slots=True)
class Batch:
    """What was read from one connection, in order of arrival.

    ``packet_ids`` are to be acknowledged once ``messages`` are stored. There may be more messages than ids (QoS 0, or
    several queues for one packet) or fewer (``unroutable`` holds the topics of what belongs to no queue). ``size`` is in
    bytes. ``completions`` are packet ids of QoS 2, which comes only where somebody else had made the session.
    """

    generation: int
    messages: list[Incoming] = field(default_factory=list)
    packet_ids: list[int] = field(default_factory=list)
    unroutable: list[str] = field(default_factory=list)
    completions: list[int] = field(default_factory=list)
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.messages or self.packet_ids or self.unroutable or self.completions)


class Reader:
    """Reads what has arrived, up to a number of messages and of bytes."""

    def __init__(self, client: Client, *, most_messages: int, most_bytes: int, clock: Clock) -> None:
        self._client = client
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._clock = clock
        self._router = Router((), (), {})
        self._batch = Batch(0)
        self._packets = 0
        client.on_message = self._on_message

    def start(self, router: Router, generation: int) -> None:
        """Begin with a new connection."""
        self._router = router
        self._batch = Batch(generation)

    def read(self, more: Callable[[], bool]) -> None:
        """Read packets until the limits are reached or ``more`` says that nothing is left."""
        self._packets = 0
        end = self._clock.steady() + _LONGEST_READ
        while self._packets < self._most_messages and self._batch.size < self._most_bytes:
            before = self._packets
            if self._client.loop_read() or self._clock.steady() >= end:
                return
            # A message may be followed by another, which costs nothing to try; anything else is asked for first.
            if self._packets == before and not more():
                return

    def take(self) -> Batch:
        """Hand over what was read."""
        batch = self._batch
        self._batch = Batch(batch.generation)
        return batch

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        batch = self._batch
        self._packets += 1
        topic = _topic(message)
        identifiers, properties = _properties(message.properties)
        router = self._router
        queues = router.by_identifiers(identifiers, topic) if identifiers else router.by_topic(topic)
        now = self._clock.wall()
        payload = bytes(message.payload)
        for queue in queues:
            batch.messages.append(Incoming(queue, topic, payload, now, message.qos, message.retain, properties))
        if not queues:
            batch.unroutable.append(topic)
        if message.qos == _AT_LEAST_ONCE:
            batch.packet_ids.append(message.mid)
        elif message.qos == _EXACTLY_ONCE:
            batch.completions.append(message.mid)
        batch.size += len(payload) + len(topic) + _size(properties)


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        # paho gives no other way to the bytes of such a topic.
        return message._topic.decode(errors="backslashreplace")  # noqa: SLF001


def _properties(found: PahoProperties | None) -> tuple[list[int], Properties | None]:
    """The subscription identifiers, and what is kept with the message."""
    if found is None:
        return [], None
    # paho sets an attribute for each property that came, and answers every other question by walking all of them.
    fields: dict[str, Any] = vars(found)
    identifiers: list[int] = fields.get("SubscriptionIdentifier", [])
    if _KEPT.isdisjoint(fields):
        return identifiers, None
    return identifiers, Properties(
        payload_format_indicator=fields.get("PayloadFormatIndicator"),
        message_expiry_interval=fields.get("MessageExpiryInterval"),
        content_type=fields.get("ContentType"),
        response_topic=fields.get("ResponseTopic"),
        correlation_data=fields.get("CorrelationData"),
        user_properties=tuple(fields.get("UserProperty", ())),
    )


def _size(properties: Properties | None) -> int:
    if properties is None:
        return 0
    return len(properties.correlation_data or b"") + sum(
        len(name) + len(value) for name, value in properties.user_properties
    )
