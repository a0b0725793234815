"""Forwards messages to another broker or topic. A message is done only when the broker has acknowledged it."""

import time
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import CollectorRegistry

from fmq.message import Message
from fmq.mqtt.connection import Connection
from fmq.mqtt.packets import Packet
from fmq.outcome import Reject, Retry, Unavailable, batch_handler
from fmq.service.reporting.certificates import CertificateCollector
from fmq.service.settings import HandlerSettings
from fmq_processor.handlers.mqtt.connections import Connections
from fmq_processor.handlers.mqtt.metrics import MqttMetrics
from fmq_processor.handlers.mqtt.packets import Packets
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.patience import Patience

_HOPELESS = frozenset({0x90, 0x99})
"""PUBACK reason codes (MQTT 5, section 3.4.2.1) that the same message gets again: topic name invalid, payload format invalid."""
_FEWER = 8


class MqttHandler:
    """Publishes messages with QoS 1."""

    Settings: ClassVar[type[HandlerSettings]] = MqttSettings
    _packets: Packets

    def __init__(self, settings: MqttSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._metrics = MqttMetrics(registry)
        self._connections = Connections(settings, self._metrics)
        registry.register(CertificateCollector(self._connections.certificates))
        self._patience = Patience(settings.mqtt_patience_seconds)

    def know_store(self, store: UUID) -> None:
        """Take the identity of the store that the messages come from."""
        self._packets = Packets(self._settings, store)

    @batch_handler
    def handle(self, messages: Sequence[Message]) -> Sequence[Exception | None]:
        """Forward a batch. If the broker is away for too long, raises Unavailable or returns it for the remaining messages."""
        results: list[Exception | None] = [None] * len(messages)
        sending = _Sending(results, self._metrics)
        for position, message in enumerate(messages):
            try:
                sending.left[position] = self._packets.packet(message)
            except Reject as refused:
                sending.refuse(position, refused)
        try:
            self._patience.call(lambda: self._send(sending))
        except Unavailable as error:
            for position in sending.left:
                results[position] = error
        return results

    def teardown(self) -> None:
        """Close all connections."""
        self._patience.end()
        self._connections.close()

    def _send(self, sending: "_Sending") -> None:
        if not sending.left:
            return
        try:
            with self._connections.borrow() as connection:
                sending.run(connection)
        except Unavailable:
            self._metrics.unavailable.inc()
            raise


class _Sending:
    """A batch in flight, over as many connections as it needs.

    A broker may end the connection because of one message, for example because it is too large. So after a loss fewer are
    sent at once. A message that is alone when the connection ends is blamed for it.
    """

    def __init__(self, results: list[Exception | None], metrics: MqttMetrics) -> None:
        self.left: dict[int, Packet] = {}
        self._results = results
        self._metrics = metrics
        self._at_once = len(results)

    def refuse(self, position: int, why: Exception) -> None:
        """Record the failure of a message."""
        self._results[position] = why
        self.left.pop(position, None)
        self._metrics.refused.inc()

    def run(self, connection: Connection) -> None:
        """Send all that is left. Raises Unavailable if the connection ends before that."""
        while self.left:
            largest = connection.largest
            for position in [position for position, packet in self.left.items() if packet.size > largest]:
                reason = f"its {self.left[position].size} bytes exceed the broker's maximum of {largest}"
                self.refuse(position, Reject(reason))
            share = list(self.left)[: self._at_once]
            began = time.perf_counter()
            answers = connection.send([self.left[position] for position in share])
            unanswered = self._note(share, answers)
            if unanswered:
                self._lose(share, unanswered, connection)
            self._metrics.send_seconds.observe(time.perf_counter() - began)
            self._at_once = min(2 * self._at_once, len(self._results))

    def _note(self, share: Sequence[int], answers: Sequence[ReasonCode | None]) -> int:
        """Settle what was answered. Returns how many were not."""
        acknowledged = unanswered = 0
        for position, answer in zip(share, answers, strict=True):
            if answer is None:
                unanswered += 1
            elif answer.is_failure:
                self.refuse(position, _judge(answer))
            else:
                del self.left[position]
                acknowledged += 1
        self._metrics.acknowledged.inc(acknowledged)
        return unanswered

    def _lose(self, share: Sequence[int], unanswered: int, connection: Connection) -> None:
        why = f"the broker has not acknowledged it: {connection.ended}"
        self._metrics.unanswered.inc(unanswered)
        if len(share) == 1:
            self.refuse(share[0], Retry(reason=f"{why}, while nothing else was in flight"))
        self._at_once = max(1, len(share) // _FEWER)
        raise Unavailable(reason=why)


def _judge(answer: ReasonCode) -> Exception:
    """The result of a PUBACK that is a failure."""
    reason = f"the broker rejected it: {answer} ({answer.value})"
    return Reject(reason) if answer.value in _HOPELESS else Retry(reason=reason)
