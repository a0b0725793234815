"""A connection that publishes and waits for the acknowledgements."""

import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from uuid import uuid4

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.mqtt.packets import Packet
from fmq.mqtt.reasons import explain_auth, explain_reason
from fmq.mqtt.wire import Answer, PublishingClient
from fmq.outcome import Unavailable
from fmq.service.broker.client import CONNECT_SECONDS, explain_end, explain_error, give_access, make_client
from fmq.service.broker.url import Access, BrokerUrl
from fmq.service.tls import TlsFiles, failure_of

_log = logging.getLogger(__name__)
_NO_LIMIT = 268_435_460  # the longest packet there is
_HIGHEST_ID = 65_535
_EXACTLY_ONCE = 2
_WRITE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where to publish, and how. ``access`` gives the secrets of the moment; ``setting`` is the one with the broker's URL.

    ``version`` is 5 or 3.1.1; ``inflight`` is the most messages without an answer, ``ack_seconds`` how long to wait for one.
    """

    broker: BrokerUrl
    version: str
    access: Callable[[], Access]
    tls: TlsFiles
    ack_seconds: float
    inflight: int = 1
    keepalive_seconds: int = 60
    setting: str = "FMQ_BROKER_URL"


class Connection:
    """One connection with its own session: messages without an answer are never sent again automatically.

    Uses the password and the certificates of the moment when it is made. Raises SettingsError for certificates that can't be
    used.

    A thread of paho does the networking. Its callbacks pass results to the one thread that sends.
    """

    def __init__(self, target: Target, client_id: str = "") -> None:
        """Without a ``client_id`` it has a random one."""
        self._target = target
        self._answers: SimpleQueue[Sequence[Answer] | None] = SimpleQueue()
        self._connack: SimpleQueue[tuple[ReasonCode, Properties | None] | None] = SimpleQueue()
        self._tls_failure: ssl.SSLError | None = None
        self._client = self._make_client(client_id or f"fmq{uuid4().hex[:20]}")
        self._window = target.inflight
        self._last_id = 0
        self.retains = True
        """Whether the broker keeps retained messages. If not, none is sent as one."""
        self.largest = _NO_LIMIT
        """The longest packet that the broker takes, in bytes."""
        self.largest_qos = _EXACTLY_ONCE
        """A packet with a higher QoS is sent with this one."""
        self.ended = ""
        """Why it has ended, once it has."""

    def _make_client(self, client_id: str) -> PublishingClient:
        target = self._target
        make = partial(PublishingClient, CallbackAPIVersion.VERSION2, answered=self._answers.put)
        client = make_client(
            make, target.broker, client_id=client_id, version=target.version, reconnect_on_failure=False
        )
        give_access(client, target.broker, target.access())
        if target.broker.tls:
            client.tls_set_context(target.tls.context())
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_socket_close = lambda _client, _userdata, sock: self._note_failure(sock)
        return client

    def open(self) -> None:
        """Connect. Raises Unavailable with the reason in words."""
        broker = self._target.broker
        try:
            self._client.connect(broker.host, broker.port, self._target.keepalive_seconds)
        except (OSError, ValueError) as error:
            raise Unavailable(reason=f"{broker} was not reached: {explain_error(error)}") from error
        self._client.send_at_once()
        self._client.loop_start()
        answer = None
        with suppress(Empty):
            answer = self._connack.get(timeout=CONNECT_SECONDS)
        if answer is None:
            problem = self.ended or "it did not answer in time"
        elif answer[0].is_failure:
            problem = f"it refused the connection: {self._explain(answer[0])}"
        else:
            problem = self._respect(answer[1])
        if problem:
            self.ended = problem
            self.close()
            raise Unavailable(reason=f"{broker} was not reached: {problem}")
        _log.info("Connected to %s", broker)

    def send(self, packets: Sequence[Packet]) -> list[ReasonCode | None]:
        """Publish, and wait for the acknowledgements. None: not answered before the connection ended, see ``ended``."""
        answers: list[ReasonCode | None] = [None] * len(packets)
        waiting: dict[int, int] = {}
        sent = 0
        while waiting or sent < len(packets):
            until = min(len(packets), sent + self._window - len(waiting))
            self._publish(packets, range(sent, until), waiting)
            sent = until
            if not self._take(waiting, answers):
                break
        return answers

    def _publish(self, packets: Sequence[Packet], positions: Sequence[int], waiting: dict[int, int]) -> None:
        """Have the packets at ``positions`` written, and note them as waiting by their packet identifiers."""
        parts: list[bytes] = []
        size, number = 0, self._last_id
        limits = self.largest_qos < _EXACTLY_ONCE or not self.retains
        for position in positions:
            number = number % _HIGHEST_ID + 1
            while number in waiting:
                number = number % _HIGHEST_ID + 1
            waiting[number] = position
            packet = packets[position]
            if limits:
                packet = packet.limited(qos=self.largest_qos, retains=self.retains)
            parts += packet.head, number.to_bytes(2, "big"), packet.properties, packet.payload
            size += packet.size
            if size >= _WRITE_BYTES:
                self._client.write(b"".join(parts))
                parts.clear()
                size = 0
        self._last_id = number
        if parts:
            self._client.write(b"".join(parts))

    def _take(self, waiting: dict[int, int], answers: list[ReasonCode | None]) -> bool:
        """Note the next acknowledgements. Returns whether there were any before the connection ended."""
        try:
            several = self._answers.get(timeout=self._target.ack_seconds)
        except Empty:
            self.ended = f"it sent no PUBACK for {self._target.ack_seconds:g} s"
            return False
        if several is None:
            return False
        for packet_id, reason in several:
            position = waiting.pop(packet_id, None)
            if position is not None:
                answers[position] = reason
        return True

    def close(self) -> None:
        """End it: with DISCONNECT, unless it has failed. The thread ends too."""
        if self.ended:
            # A broker that hangs reads nothing, so the thread would try to send forever.
            self.cut(self.ended)
        else:
            self._client.disconnect()
        self._client.loop_stop()

    def cut(self, why: str) -> None:
        """End it at once, from any thread: ``send`` gets no more answers."""
        self.ended = self.ended or why
        sock = self._client.socket()
        if sock is not None:
            _cut(sock.fileno())

    def _respect(self, properties: Properties | None) -> str:
        """Respect the broker's limits (MQTT 5, section 3.2.2.3). Returns why they are too low, or None."""
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self.retains = bool(getattr(properties, "RetainAvailable", 1))
        self.largest = getattr(properties, "MaximumPacketSize", _NO_LIMIT)
        self.largest_qos = getattr(properties, "MaximumQoS", _EXACTLY_ONCE)
        return "" if self.largest_qos else "it supports only QoS 0, which acknowledges nothing"

    def _explain(self, reason: ReasonCode) -> str:
        return explain_reason(reason, self._client.said, setting=self._target.setting)

    def _note_failure(self, sock: object) -> None:
        self._tls_failure = failure_of(sock)

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._connack.put((reason, properties))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        given = self._explain(reason) if flags.is_disconnect_packet_from_server else None
        end = explain_end(reason=given, tls_failure=self._tls_failure)
        self.ended = self.ended or (explain_auth(self._client.said) if self._client.said.asks else end)
        self._connack.put(None)
        self._answers.put(None)


def _cut(descriptor: int) -> None:
    """End the connection at once, by a second descriptor: paho's sockets for TLS and WebSocket can't be shut down."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as raw:
        raw.shutdown(socket.SHUT_RDWR)
