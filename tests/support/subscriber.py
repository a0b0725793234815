"""A subscriber with a session that outlives the broker's restarts, which keeps all that it gets."""

import threading
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Subscriber:
    """Subscribes at QoS 1, retained messages included, and reconnects automatically."""

    def __init__(self, port: int, topic_filter: str = "#", *, name: str = "subscriber") -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._filter = topic_filter
        self._port = port
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type] # typed as whole seconds
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self.messages.append(message)

    @property
    def payloads(self) -> list[bytes]:
        return [bytes(message.payload) for message in self.messages]

    def _on_connect(self, client: mqtt.Client, _userdata: object, flags: mqtt.ConnectFlags, *_: Any) -> None:  # noqa: ANN401
        if not flags.session_present:
            client.subscribe(self._filter, 1)

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        properties.ReceiveMaximum = 65_535
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker did not answer SUBSCRIBE"
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
