"""paho's client with another way of reading: everything that has arrived at once, not a byte, a length and a body each.

paho keeps the connection, the session, keep-alive, TLS, WebSocket, subscriptions and every packet but PUBLISH of QoS 0
and 1. This is the only module that touches what paho does not offer to the outside; ``PRIVATE`` lists it, and a test
fails when an upgrade changes it.
"""

import logging
import ssl
import struct
from collections.abc import Sequence
from typing import Any

from paho.mqtt.client import CONNACK, PUBACK, Client, MQTTMessage, time_func
from paho.mqtt.enums import MQTTErrorCode

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import Incoming
from fmq_listener.batch import Batch
from fmq_listener.decoder import Decoder, Malformed
from fmq_listener.filters import Router
from fmq_listener.properties import sort_properties

_log = logging.getLogger(__name__)
_READ_BYTES = 1024 * 1024
_PUBACK_PACKET = 0x4002_0000
PRIVATE = (
    "_handle_pingresp",
    "_in_packet",
    "_last_bytes_received",
    "_msgtime_mutex",
    "_packet_handle",
    "_packet_queue",
    "_packet_read",
    "_send_pingreq",
    "_sock_recv",
    "_ssl_context",
)
"""What of paho's own is used here."""


class WireClient(Client):
    """Reads into a batch. Its limits hold for what is decoded, so one read's worth of bytes may be held beside it."""

    def __init__(self, *arguments: Any, clock: Clock = SYSTEM_CLOCK, marking: bool = False, **more: Any) -> None:  # noqa: ANN401 - paho's own
        super().__init__(*arguments, **more)
        self._clock = clock
        self._decoder = Decoder(v5=self._protocol == 5, other=self._handle_other, marking=marking)
        self._batch = Batch(0)
        self._taken = self._pings = self._pongs = self._received_at_pong = 0
        self._most_messages = self._most_bytes = 1
        self._other_rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        self.on_message = self._on_exactly_once

    def limit(self, *, messages: int, size: int) -> None:
        """How many messages and bytes a batch holds; one larger message comes alone."""
        self._most_messages, self._most_bytes = messages, size

    def begin(self, generation: int) -> None:
        """Forget what is left of the last connection."""
        self._decoder.start()
        self._batch = Batch(generation)
        self._taken = self._pings = self._pongs = self._received_at_pong = 0

    def route(self, router: Router) -> None:
        """Find the queues of messages by ``router``."""
        self._decoder.route(router)

    @property
    def has_room(self) -> bool:
        """Whether the batch may grow."""
        return self._batch.packets < self._most_messages and self._batch.size < self._most_bytes

    @property
    def undecoded(self) -> bool:
        """Whether bytes were read that are still to be looked at; select knows nothing of them."""
        return self._decoder.ready

    def take(self) -> Batch:
        """Hand over what was read."""
        batch = self._batch
        self._batch = Batch(batch.generation)
        self._taken += batch.owed
        return batch

    @property
    def received(self) -> int:
        """How many messages that want an acknowledgement have come on this connection."""
        return self._taken + self._batch.owed

    @property
    def starts_anew(self) -> bool:
        """Whether the first message of this connection is in hand, and its packet identifier is 1."""
        return not self._taken and self._batch.packet_ids[:1] == [1]

    def ping(self) -> None:
        """Send a PINGREQ behind everything that was sent before."""
        self._send_pingreq()

    @property
    def received_before_pong(self) -> int | None:
        """The ``received`` of the moment when the last PINGREQ was answered; None while its answer is owed."""
        return self._received_at_pong if self._pongs >= self._pings else None

    def _send_pingreq(self) -> MQTTErrorCode:
        self._pings += 1
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self._pongs += 1
        self._received_at_pong = self.received
        return super()._handle_pingresp()

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Queue a PUBACK for each, in this order, to go out in one write (MQTT 5, section 3.4: without a reason code, success)."""
        packets = struct.pack(f">{len(packet_ids)}I", *map(_PUBACK_PACKET.__or__, packet_ids))
        self._packet_queue(PUBACK, packets, 0, 0)
        if self._logs_packets:
            for packet_id in packet_ids:
                _log.debug("Sending PUBACK (m%d)", packet_id)

    def _packet_read(self) -> MQTTErrorCode:
        """One read, and all packets in it; or what the batch had no room for last time."""
        if not self._decoder.ready:
            try:
                data = self._sock_recv(_READ_BYTES)
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except OSError as error:
                _log.debug("Reading failed: %s", error)
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            if not data:
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            with self._msgtime_mutex:
                self._last_bytes_received = time_func()
            self._decoder.feed(data)
        self._other_rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        begun = len(self._batch.messages)
        try:
            self._decoder.decode(
                self._batch, now=self._clock.wall(), most_messages=self._most_messages, most_bytes=self._most_bytes
            )
        except Malformed as error:
            _log.warning("The broker sent a malformed packet: %s", error)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        if self._logs_packets:
            for one in self._batch.messages[begun:]:
                _log.debug(
                    "Received PUBLISH (q%d, r%d), '%s' (%d bytes)", one.qos, one.retain, one.topic, len(one.payload)
                )
        return self._other_rc

    @property
    def _logs_packets(self) -> bool:
        return _log.isEnabledFor(logging.DEBUG)

    def _handle_other(self, first: int, body: bytes) -> bool:
        """Give a packet to paho as if it had read it itself."""
        packet = self._in_packet
        packet["command"], packet["packet"], packet["remaining_length"], packet["pos"] = (
            first,
            bytearray(body),
            len(body),
            0,
        )
        try:
            self._other_rc = self._packet_handle()
        finally:
            packet["command"], packet["packet"], packet["remaining_length"] = 0, bytearray(), 0
        if first & 0xF0 == CONNACK:
            return False  # messages may follow at once: their queues are known only when the session has begun
        return self._other_rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self._sock is not None

    def _on_exactly_once(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        """QoS 2, which comes only where somebody else had made the session: stored like the others, completed after."""
        batch = self._batch
        topic = message._topic.decode(errors="backslashreplace")  # noqa: SLF001 - paho raises on what is no UTF-8
        numbers, properties = sort_properties(message.properties) if message.properties else ([], None)
        queues = self._decoder.queues(numbers, topic)
        payload = bytes(message.payload)
        for queue in queues:
            batch.messages.append(
                Incoming(queue, topic, payload, self._clock.wall(), message.qos, message.retain, properties)
            )
        if not queues:
            batch.unroutable.append(topic)
        batch.completions.append(message.mid)
        batch.packets += 1
        batch.size += len(payload)


def use_tls(client: Client, context: ssl.SSLContext) -> None:
    """Let ``client`` make its next connection with ``context``. paho itself takes one context for the life of a client."""
    client._ssl_context = None  # noqa: SLF001
    client.tls_set_context(context)
