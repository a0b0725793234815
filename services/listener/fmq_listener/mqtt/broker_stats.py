"""Statistics of the broker from its $SYS topics, on a separate connection.

Not on the listener's connection: that session outlives the process and would have to be cleaned of these subscriptions
when the setting changes, and what it brings is stored and acknowledged. Here is nothing to keep: QoS 0, no session.
"""

import logging
import threading
from types import MappingProxyType
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.errors import SettingsError
from fmq.service.lifecycle import Shutdown
from fmq.service.threads import SupervisedThread
from fmq_listener.mqtt.connection import PLAIN, new_client, refresh
from fmq_listener.mqtt.refusals import explain_refusal
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 60
_STOP_SECONDS = 2.0
TOPICS = MappingProxyType(
    {
        "$SYS/broker/publish/messages/dropped": "dropped_messages",
        "$SYS/broker/store/messages/count": "stored_messages",
        "$SYS/broker/store/messages/bytes": "stored_bytes",
    }
)
"""Mosquitto's, since 1.6: mosquitto(8), broker status. It sends them every ``sys_interval`` (10 s), and retained."""


class BrokerStats:
    """Listens in a thread until it is closed, and connects again automatically."""

    def __init__(self, settings: ListenerSettings, *, client_id: str, shutdown: Shutdown) -> None:
        """Raises SettingsError on bad TLS files."""
        self._settings = settings
        self._figures: dict[str, float] = {}
        self._refused = False
        self._client = client = new_client(settings, f"{client_id}-stats", make=PLAIN)
        client.reconnect_delay_set(1, _LONGEST_PAUSE)
        client.on_pre_connect = lambda client, _userdata: self._refresh(client)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        self._closing = threading.Event()
        self._thread = SupervisedThread(self._run, name="broker-stats", shutdown=shutdown)

    @property
    def figures(self) -> dict[str, float]:
        """What the broker says now, by the names in ``TOPICS``; nothing while it can't be asked."""
        return dict(self._figures)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._client.disconnect()
        self._thread.join(_STOP_SECONDS)  # it may wait for a name server

    def _run(self) -> None:
        broker = self._settings.broker
        while not self._closing.is_set():
            try:
                self._client.connect_async(broker.host, broker.port, self._settings.keepalive_seconds)
                self._client.loop_forever(retry_first_connection=True)
            except Exception as error:  # noqa: BLE001 - paho's parser raises anything on a packet that it can't read
                _log.warning("Reading the broker's statistics failed; next attempt in %d s: %r", _LONGEST_PAUSE, error)
                self._figures = {}
            self._closing.wait(_LONGEST_PAUSE)

    def _refresh(self, client: Client) -> None:
        """Each connection uses the secrets and certificates of its time."""
        try:
            refresh(client, self._settings)
        except SettingsError as error:
            _log.warning("The second connection to the broker uses the old TLS files: %s", error)

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not reason.is_failure:
            self._refused = False
            client.subscribe([(topic, 0) for topic in TOPICS])
        elif not self._refused:
            self._refused = True
            _log.warning("The broker refused its statistics: %s", explain_refusal(reason, self._client.said))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        _reason: ReasonCode,
        _properties: Any,  # noqa: ANN401 - the signature of paho's callback
    ) -> None:
        self._figures = {}

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        name = TOPICS.get(message.topic)
        if name is not None and message.payload.isdigit():
            self._figures = {**self._figures, name: float(message.payload)}
