"""A short connection to the broker under a separate client id, which takes nothing from the listener's session."""

import secrets
import ssl
from contextlib import suppress
from typing import Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fmq.mqtt.reasons import NOTHING
from fmq.service.tls import failure_of
from fmq_listener.mqtt.connection import PLAIN, loop_until, new_client
from fmq_listener.settings import ListenerSettings

_QOS = 1


class Probe:
    """Connects as the listener would, asks, and leaves no session behind.

    ``said`` is what the answer to CONNECT says besides numbers, ``limits`` the properties of a CONNACK that accepts.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        self._settings = settings
        self._v5 = settings.mqtt_version == "5"
        self._answer: ReasonCode | None = None
        self._failure: ssl.SSLError | None = None
        self.said = NOTHING
        self._granted: dict[int, ReasonCode] = {}
        self._received: dict[str, bytes] = {}
        self.limits: Properties | None = None
        self.client_id = f"fmq-doctor-{secrets.token_hex(4)}"
        self._client = client = new_client(settings, self.client_id, make=PLAIN, reconnect_on_failure=False)
        client.on_connect = lambda _client, _userdata, _flags, reason, properties: self._on_connect(reason, properties)
        client.on_subscribe = lambda _client, _userdata, mid, reasons, _properties: self._granted.update(
            {mid: reasons[0]}
        )
        client.on_message = self._on_message
        client.on_socket_close = lambda _client, _userdata, sock: self._note_failure(sock)

    def _on_connect(self, reason: ReasonCode, properties: Properties | None) -> None:
        self._answer, self.limits = reason, properties

    def _note_failure(self, sock: object) -> None:
        self._failure = failure_of(sock)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.startswith("$SYS/"):
            self._received[message.topic] = bytes(message.payload)

    def connect(self) -> ReasonCode | None:
        """The reason code of the broker's answer, or None without an answer. Raises OSError or ValueError."""
        broker = self._settings.broker
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._settings.session_expiry_seconds
            properties.ReceiveMaximum = self._settings.inflight
            self._client.connect(broker.host, broker.port, clean_start=True, properties=properties)
        else:
            self._client.connect(broker.host, broker.port)
        loop_until(self._client, lambda: self._answer is not None)
        self.said = self._client.said
        if self._answer is None and self._failure is not None:
            raise self._failure
        return self._answer

    def subscribe(self, text: str) -> ReasonCode | None:
        """The reason code of the broker's answer to a subscription, or None without an answer."""
        if self._v5:
            options = SubscribeOptions(qos=_QOS, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            _, mid = self._client.subscribe(text, options=options)
        else:
            _, mid = self._client.subscribe(text, qos=_QOS)
        loop_until(self._client, lambda: mid in self._granted)
        if mid is not None and mid in self._granted:
            self._client.unsubscribe(text)
            return self._granted[mid]
        return None

    def read(self, topic: str) -> str | None:
        """What the broker keeps under a topic of $SYS, or None if it does not say."""
        self._client.subscribe(topic, qos=0)
        loop_until(self._client, lambda: topic in self._received, 1.0)
        return self._received[topic].decode(errors="replace") if topic in self._received else None

    def certificate_ends(self) -> str | None:
        """Until when the broker's certificate is valid, as OpenSSL writes it; None without TLS."""
        sock = self._client.socket()
        peer = getattr(sock, "getpeercert", None)
        found = peer() if peer is not None else None
        return None if not found else str(found["notAfter"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._client.socket() is None:
            return
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0  # the session ends here
        with suppress(OSError):
            self._client.disconnect(properties=properties)
