"""A plain MQTT client, the control beside fmq: what a broker says and gives to anybody.

What fmq must do is held against what this client sees on the same broker, never against the broker's name.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from support.wait import wait_for

_EXPIRY_SECONDS = 3_600
_PIECE = 1_000
_MOST = 10_000
UNANSWERED = "closed without an answer"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client connects, and as whom."""

    url: str
    version: str
    username: str | None = None
    password: str | None = None
    ca: str | None = None


class Plain:
    """Connects with paho's own thread, and keeps what it gets. The session outlives the connection unless ``clean``.

    With ``most``, it acknowledges nothing and announces this Receive Maximum to an MQTT 5 broker.
    """

    def __init__(self, address: Address, client_id: str = "", *, clean: bool = True, most: int | None = None) -> None:
        self._v5 = address.version == "5"
        self._clean = clean
        self._most = most or _MOST
        self._parts = parts = urlsplit(address.url)
        self.messages: list[mqtt.MQTTMessage] = []
        self.connack: Properties | None = None
        self.refusal = ""
        self.session_present = False
        self.ended = threading.Event()
        self._answered = threading.Event()
        self._granted: dict[int, Sequence[ReasonCode]] = {}
        self._left: set[int] = set()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._v5 else clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if parts.scheme in {"ws", "wss"} else "tcp",
            reconnect_on_failure=False,
            manual_ack=most is not None,
        )
        client.max_inflight_messages_set(1_000)
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.ca is not None:
            client.tls_set(address.ca)
        if parts.path:
            client.ws_set_options(parts.path)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda _client, _userdata, mid, reasons, _properties: self._granted.update({mid: reasons})
        client.on_unsubscribe = lambda _client, _userdata, mid, _reasons, _properties: self._left.add(mid)
        client.on_message = lambda _client, _userdata, message: self.messages.append(message)

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.session_present = flags.session_present
        self.connack = properties
        self.refusal = reason.getName() if reason.is_failure else ""
        self._accepted = not reason.is_failure
        self._answered.set()

    def _on_disconnect(self, *_: Any) -> None:  # noqa: ANN401 - none of it is looked at
        self.ended.set()
        self._answered.set()

    def connect(self) -> Self:
        """Connect and wait for the answer; ``refusal`` gives the reason for a refused connection, and is empty otherwise."""
        self._accepted = False
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0 if self._clean else _EXPIRY_SECONDS
            properties.ReceiveMaximum = self._most
        host, port = self._parts.hostname or "", self._parts.port or 0
        if self._v5:
            self._client.connect(host, port, clean_start=self._clean, properties=properties)
        else:
            self._client.connect(host, port)
        self._client.loop_start()
        assert self._answered.wait(15), "the broker neither answered CONNECT nor closed the connection"
        if not self._accepted:
            self.refusal = self.refusal or UNANSWERED
        return self

    @property
    def payloads(self) -> list[bytes]:
        return [bytes(message.payload) for message in self.messages]

    def await_payload(self, payload: bytes, deadline: float = 15.0) -> None:
        """Wait until a message with this payload has come."""
        wait_for(lambda: payload in self.payloads, deadline, what=f"{payload!r}")

    def limit(self, name: str) -> Any:  # noqa: ANN401 - a number, or None
        """A property of the CONNACK, or None if it is absent."""
        return getattr(self.connack, name, None)

    def subscribe(self, text: str, qos: int = 1) -> str:
        """What the SUBACK says, or how the connection ended."""
        _, mid = self._client.subscribe(text, qos)
        wait_for(lambda: mid in self._granted or self.ended.is_set(), what="SUBACK")
        if mid not in self._granted:
            return UNANSWERED
        return str(self._granted[mid or 0][0].getName())

    def unsubscribe(self, text: str, seconds: float = 5.0) -> bool:
        """Whether the broker answers with an UNSUBACK within ``seconds``."""
        _, mid = self._client.unsubscribe(text)
        try:
            wait_for(lambda: mid in self._left, seconds, what="UNSUBACK")
        except AssertionError:
            return False
        return True

    def closes_on_ping(self) -> bool:
        """Whether the broker has ended the connection, or ends it before it answers to one more publication."""
        return not self.takes("still/there", b"")

    def publish(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
        deadline: float = 60.0,
    ) -> int:
        """Publish and wait for the acknowledgements; returns how many. Fails where one is missing."""
        waiting: list[mqtt.MQTTMessageInfo] = []
        count = 0
        for topic, payload in messages:
            waiting.append(self._client.publish(topic, payload, qos, retain, properties))
            count += 1
            if len(waiting) >= _PIECE:
                _finish(waiting, deadline)
        _finish(waiting, deadline)
        return count

    def takes(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """Publish one message that the broker may refuse; whether it acknowledged it before it closed the connection."""
        published = threading.Event()
        self._client.on_publish = lambda *_: published.set()
        self._client.publish(topic, payload, qos)
        wait_for(lambda: published.is_set() or self.ended.is_set(), 30, what="PUBACK, or the end of the connection")
        return published.is_set() and not self.ended.is_set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        self.connect()
        assert not self.refusal, f"the broker refuses a plain client: {self.refusal}"
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _finish(waiting: list[mqtt.MQTTMessageInfo], deadline: float) -> None:
    for info in waiting:
        info.wait_for_publish(deadline)
        assert info.is_published(), f"the broker did not acknowledge within {deadline:g} s"
    waiting.clear()
