"""paho's client with another way of reading: everything that has arrived at once, not a byte, a length and a body each.

paho keeps the connection, the session, keep-alive, TLS, WebSocket, subscriptions and every packet but PUBLISH and
PUBREL. This is the only module that touches what paho does not offer to the outside; ``PRIVATE`` lists it, and a test
fails when an upgrade changes it.
"""

import logging
import ssl
import struct
from typing import Any

from paho.mqtt.client import CONNACK, PUBACK, PUBREL, Client, time_func
from paho.mqtt.enums import MQTTErrorCode

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.mqtt.reasons import NOTHING, HearingClient
from fmq_listener.filters import Router
from fmq_listener.mqtt.packets.answers import numbers_only, one_code
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.decoder import Decoder, Malformed
from fmq_listener.mqtt.packets.exactly_once import ExactlyOnce

_log = logging.getLogger(__name__)
_READ_BYTES = 1024 * 1024
_ENOUGH_BYTES = 4 * 1024 * 1024
"""A commit of as much takes many times as long as its sync."""
_PUBACK_PACKET = 0x4002_0000
_PUBCOMP = struct.Struct(">BBH")
_PUBCOMP_UNKNOWN = struct.Struct(">BBHB")
_UNKNOWN = 0x92
"""Packet Identifier not found; expected after a restart (MQTT 5, section 3.7.2.1)."""
_HIGHEST = 0xFFFF
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


class WireClient(HearingClient):
    """Reads into a batch. Its limits hold for what is decoded, so one read's worth of bytes may be held in addition."""

    hears_itself = True

    def __init__(self, *arguments: Any, clock: Clock = SYSTEM_CLOCK, marking: bool = False, **more: Any) -> None:  # noqa: ANN401 - paho's own
        super().__init__(*arguments, **more)
        self._clock = clock
        self._exactly_once = ExactlyOnce()
        self._decoder = Decoder(
            v5=self._protocol == 5, other=self._handle_other, marking=marking, exactly_once=self._exactly_once
        )
        self._batch = Batch(0)
        self._taken = self._pings = self._pongs = self._received_at_pong = 0
        self._most_messages = self._most_bytes = 1
        self._other_rc = MQTTErrorCode.MQTT_ERR_SUCCESS

    def limit(self, *, messages: int, size: int, packet: int) -> None:
        """How many messages and bytes of memory a batch holds, and how many bytes a packet may have.

        The message with which a batch reaches a limit is part of it. A larger packet is passed over.
        """
        self._most_messages, self._most_bytes = messages, size
        self._decoder.most_packet_bytes = packet

    def begin(self, generation: int) -> None:
        """Forget what is left of the last connection."""
        self._decoder.start()
        self.said = NOTHING
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
    def has_enough(self) -> bool:
        """Whether a larger commit would gain nothing. The broker can go on while it runs."""
        return self._batch.size >= _ENOUGH_BYTES

    @property
    def undecoded(self) -> bool:
        """Whether bytes were read but not decoded yet; select does not see them."""
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
        self._pongs = min(self._pongs + 1, self._pings)  # one that nobody asked for proves nothing later
        self._received_at_pong = self.received
        return super()._handle_pingresp()

    def acknowledge(self, batch: Batch) -> None:
        """Queue the answers to a stored batch, to go out in one write.

        PUBACK or PUBREC for each PUBLISH, in the order of arrival, then PUBCOMP for each PUBREL (MQTT 5, sections 3.4, 3.5 and
        3.7: without a reason code, success).
        """
        packets = struct.pack(f">{len(batch.packet_ids)}I", *map(_PUBACK_PACKET.__or__, batch.packet_ids))
        packets += b"".join(self._completion(packet_id, known=known) for packet_id, known in batch.completions)
        if packets:
            self._packet_queue(PUBACK, packets, 0, 0)
        if self._logs_packets:
            for packet_id in batch.packet_ids:
                _log.debug("Sending %s (m%d)", "PUBREC" if packet_id > _HIGHEST else "PUBACK", packet_id & _HIGHEST)

    def stored(self, batch: Batch) -> None:
        """The commit of ``batch`` has succeeded, whether its connection stands or not."""
        self._exactly_once.stored(batch)

    def _completion(self, packet_id: int, *, known: bool) -> bytes:
        if known or self._protocol != 5:
            return _PUBCOMP.pack(0x70, 2, packet_id)
        return _PUBCOMP_UNKNOWN.pack(0x70, 3, packet_id, _UNKNOWN)

    def _packet_read(self) -> MQTTErrorCode:
        """One read, and all packets in it; or what the batch had no room for last time."""
        if not self._decoder.ready:
            try:
                data = self._sock_recv(min(self._decoder.missing or _READ_BYTES, _READ_BYTES))
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
        """Give a packet to paho as if it had read it itself; PUBREL is ours, like PUBLISH."""
        if first & 0xF0 == PUBREL:
            packet_id = int.from_bytes(body[:2], "big")
            if len(body) < 2 or not packet_id:
                raise Malformed("a PUBREL without a packet identifier")
            self._exactly_once.release(self._batch, packet_id)
            return True
        if first & 0xF0 == CONNACK and len(body) > 1 and not body[0] & 1:
            self._exactly_once.forget()
        if self._protocol == 5:
            self.hear(first, body)
            body = numbers_only(first, body)
        body = one_code(first, body, v5=self._protocol == 5)
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


def use_tls(client: Client, context: ssl.SSLContext) -> None:
    """Let ``client`` make its next connection with ``context``. paho itself takes one context for the life of a client."""
    client._ssl_context = None  # noqa: SLF001 - see above
    client.tls_set_context(context)
