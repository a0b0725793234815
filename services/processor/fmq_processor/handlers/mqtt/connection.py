"""A connection to the broker that messages are forwarded to."""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from uuid import uuid4

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.broker import explain_error
from fmq.outcome import Unavailable
from fmq.tls import TlsFiles
from fmq_processor.handlers.mqtt.packets import Packet
from fmq_processor.handlers.mqtt.settings import MqttSettings

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
_NO_LIMIT = 268_435_460  # the longest packet there is


class Connection:
    """One connection with a session of its own: what it leaves unanswered is never sent again by itself.

    It uses the password and the certificates as they are when it is made.

    The network is a thread's of paho's; what its callbacks learn goes to the one thread that sends.
    """

    def __init__(self, settings: MqttSettings, tls: TlsFiles, client_id: str) -> None:
        self._settings = settings
        self._answers: SimpleQueue[tuple[int, ReasonCode] | None] = SimpleQueue()
        self._connack: SimpleQueue[tuple[ReasonCode, Properties | None] | None] = SimpleQueue()
        self._client = self._make_client(tls, client_id or f"fmq{uuid4().hex[:20]}")
        self._window = settings.mqtt_inflight
        self._retains = True
        self.largest = _NO_LIMIT
        """The longest packet that the broker takes, in bytes."""
        self.ended = ""
        """Why it has ended, once it has."""

    def _make_client(self, tls: TlsFiles, client_id: str) -> Client:
        settings = self._settings
        broker = settings.broker
        v5 = settings.mqtt_protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if v5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if broker.websocket else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.max_inflight_messages_set(0)  # no limit of paho's, which goes through all that wait at each PUBACK
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if broker.tls:
            client.tls_set_context(tls.context())
        if broker.websocket:
            client.ws_set_options(broker.path)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def open(self) -> None:
        """Connect. Raises Unavailable with the reason in words."""
        broker = self._settings.broker
        try:
            self._client.connect(broker.host, broker.port, self._settings.mqtt_keepalive_seconds)
        except (OSError, ValueError) as error:
            raise Unavailable(reason=f"{broker} can't be reached: {explain_error(error)}") from error
        self._client.loop_start()
        answer = None
        with suppress(Empty):
            answer = self._connack.get(timeout=_CONNECT_SECONDS)
        if answer is None:
            problem = self.ended or "it did not answer in time"
        elif answer[0].is_failure:
            problem = f"it refused the connection: {answer[0]}"
        else:
            problem = self._heed(answer[1])
        if problem:
            self.ended = problem
            self.close()
            raise Unavailable(reason=f"{broker} can't be reached: {problem}")
        _log.info("Connected to %s", broker)

    def send(self, packets: Sequence[Packet]) -> list[ReasonCode | None]:
        """Publish with QoS 1, and wait for the PUBACKs. None: not answered before the connection ended, see ``ended``."""
        answers: list[ReasonCode | None] = [None] * len(packets)
        waiting: dict[int, int] = {}
        for position, packet in enumerate(packets):
            while len(waiting) >= self._window:
                if not self._take(waiting, answers):
                    return answers
            info = self._client.publish(
                packet.topic, packet.payload, 1, packet.retain and self._retains, packet.properties
            )
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self.ended = self.ended or "the connection has ended"
                break  # there may be answers all the same
            waiting[info.mid] = position
        while waiting and self._take(waiting, answers):
            pass
        return answers

    def _take(self, waiting: dict[int, int], answers: list[ReasonCode | None]) -> bool:
        """Note the next PUBACK. Returns whether there was one."""
        try:
            answer = self._answers.get(timeout=self._settings.mqtt_ack_seconds)
        except Empty:
            self.ended = f"it sent no PUBACK for {self._settings.mqtt_ack_seconds:g} s"
            return False
        if answer is None:
            return False
        packet_id, reason = answer
        answers[waiting.pop(packet_id)] = reason
        return True

    def close(self) -> None:
        """End it: with DISCONNECT, unless it has failed. The thread ends too."""
        if self.ended:
            # What waits to be sent may never be: a broker that hangs reads nothing, and the thread would try for ever.
            sock = self._client.socket()
            if sock is not None:
                _cut(sock.fileno())
        else:
            self._client.disconnect()
        self._client.loop_stop()

    def _heed(self, properties: Properties | None) -> str:
        """Keep to what the broker says it can do (MQTT 5, section 3.2.2.3). Returns why that is too little, if it is."""
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._retains = bool(getattr(properties, "RetainAvailable", 1))
        self.largest = getattr(properties, "MaximumPacketSize", _NO_LIMIT)
        return "" if getattr(properties, "MaximumQoS", 1) else "it takes QoS 0 only, which acknowledges nothing"

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._connack.put((reason, properties))

    def _on_publish(
        self, _client: Client, _userdata: object, packet_id: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._answers.put((packet_id, reason))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        told = flags.is_disconnect_packet_from_server
        self.ended = f"it ended the connection: {reason}" if told else "it or the network ended the connection"
        self._connack.put(None)
        self._answers.put(None)


def _cut(descriptor: int) -> None:
    """End the connection at once, by a descriptor of its own: paho's sockets for TLS and WebSocket can't be shut down."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as raw:
        raw.shutdown(socket.SHUT_RDWR)
