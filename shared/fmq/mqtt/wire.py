"""paho's client with another way of publishing: many packets in one write, and many acknowledgements in one read.

paho keeps the connection, keep-alive, TLS, WebSocket and every packet but PUBLISH and its answers. This is the only module of
the room that touches what paho does not offer to the outside; ``PRIVATE`` lists it, and a test fails when an upgrade changes it.
"""

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from paho.mqtt.client import PUBACK, PUBCOMP, PUBLISH, PUBREC, time_func
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from fmq.mqtt.reasons import HearingClient

Answer = tuple[int, ReasonCode]
"""A packet identifier, and what the broker says of its PUBLISH."""
PRIVATE = (
    "_in_packet",
    "_last_bytes_received",
    "_msgtime_mutex",
    "_packet_handle",
    "_packet_queue",
    "_packet_read",
    "_protocol",
    "_send_pubrel",
    "_sock",
    "_sock_recv",
)
"""What of paho's own is used here."""
_READ_BYTES = 64 * 1024
_UNSPECIFIED = 0x80
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux


class PublishingClient(HearingClient):
    """Publishes with packet identifiers of the caller's. ``answered`` gets the answers, in the thread that reads."""

    def __init__(self, *arguments: Any, answered: Callable[[Sequence[Answer]], None], **more: Any) -> None:  # noqa: ANN401 - paho's own
        super().__init__(*arguments, **more)
        self._answered = answered
        self._read_ahead = b""
        self._at = 0

    def send_at_once(self) -> None:
        """Let nothing wait until the peer has confirmed what came before (TCP_NODELAY). To be called when connected."""
        self._set(socket.TCP_NODELAY)

    def write(self, packets: bytes) -> None:
        """Have PUBLISH packets written, in one piece if the socket takes it. Their QoS is at least 1."""
        # Of a view, paho copies nothing at each write. Its WebSocket masks a packet in place, so it needs a copy.
        whole: Any = packets if self.transport == "websockets" else memoryview(packets)
        self._packet_queue(PUBLISH, whole, 0, 1)

    def _packet_read(self) -> MQTTErrorCode:
        """One read, and all packets in it."""
        try:
            self._read_ahead, self._at = super()._sock_recv(_READ_BYTES), 0
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not self._read_ahead:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        self._confirm()
        with self._msgtime_mutex:
            self._last_bytes_received = time_func()
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._at < len(self._read_ahead) and self._sock is not None:
            if not self._in_packet["command"] and self._take_answers():
                continue
            code = super()._packet_read()
            if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
                break
        return code

    def _sock_recv(self, bufsize: int) -> bytes:
        """What paho reads: a part of what was read."""
        data = self._read_ahead[self._at : self._at + bufsize]
        if not data:
            raise BlockingIOError
        self._at += len(data)
        return data

    def _confirm(self) -> None:
        """Have the kernel confirm to the peer now what was read.

        A broker may write one PUBACK at a time, and its kernel then holds all but the first until that one is confirmed (Nagle's
        algorithm). Ours would wait 40 ms for something to send along. The option is not permanent.
        """
        if _QUICKACK is not None:
            self._set(_QUICKACK)

    def _set(self, option: int) -> None:
        # The socket within paho's own for WebSocket, which has no options.
        sock: Any = getattr(self._sock, "_socket", self._sock)
        with suppress(OSError, AttributeError):  # it has ended meanwhile
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)

    def _take_answers(self) -> bool:
        """Pass on the PUBACKs that come next, as far as they are whole and short. Returns whether there were any."""
        data, at, end = self._read_ahead, self._at, len(self._read_ahead)
        found = []
        while at + 4 <= end and data[at] == PUBACK and 2 <= data[at + 1] <= min(127, end - at - 2):
            stop = at + 2 + data[at + 1]
            code = data[at + 4] if stop > at + 4 else 0
            found.append((data[at + 2] << 8 | data[at + 3], _reason(PUBACK, code)))
            at = stop
        self._at = at
        if found:
            self._answered(found)
        return bool(found)

    def _packet_handle(self) -> MQTTErrorCode:
        packet = self._in_packet
        kind, body = packet["command"] & 0xF0, bytes(packet["packet"])
        if kind not in (PUBACK, PUBREC, PUBCOMP):
            return super()._packet_handle()
        # MQTT 5, sections 3.4 to 3.7. Its properties are for people who debug the broker.
        if len(body) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        packet_id, code = int.from_bytes(body[:2], "big"), body[2] if len(body) > 2 else 0
        if kind == PUBREC and code < _UNSPECIFIED:
            return self._send_pubrel(packet_id)
        self._answered([(packet_id, _reason(kind, code))])
        return MQTTErrorCode.MQTT_ERR_SUCCESS


@lru_cache
def _reason(kind: int, code: int) -> ReasonCode:
    """A code that MQTT does not know counts as Unspecified error."""
    try:
        return ReasonCode(kind >> 4, identifier=code)
    except (KeyError, ValueError):
        return ReasonCode(PacketTypes.PUBACK, identifier=_UNSPECIFIED)
