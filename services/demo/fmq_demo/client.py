"""The demo's own connections to the broker."""

import threading
from functools import partial

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.errors import FmqError
from fmq.service.broker.client import CONNECT_SECONDS, explain_error, give_access
from fmq.service.broker.client import make_client as broker_client
from fmq.service.broker.settings import BrokerSettings, tls_context
from fmq.service.broker.url import BrokerUrl


class BrokerUnreachable(FmqError):
    """The broker can't be reached."""


def make_client(settings: BrokerSettings, *, client_id: str = "") -> Client:
    """A client with a new session, not connected yet. Raises SettingsError on TLS files that can't be used."""
    broker = settings.broker
    make = partial(Client, CallbackAPIVersion.VERSION2)
    client = broker_client(make, broker, client_id=client_id, version=settings.mqtt_version)
    give_access(client, broker, settings.access_to(broker))
    if broker.tls:
        client.tls_set_context(tls_context(settings))
    return client


def connect(client: Client, address: BrokerUrl) -> None:
    """Connect; the client's network thread runs from then on. Raises BrokerUnreachable with the reason."""
    answered = threading.Event()
    answers: list[ReasonCode] = []

    def on_connect(
        _client: Client, _userdata: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        answers.append(reason)
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(address.host, address.port)
    except (OSError, ValueError) as error:
        raise BrokerUnreachable(f"the broker at {address} can't be reached: {explain_error(error)}") from error
    client.loop_start()
    answered.wait(CONNECT_SECONDS)
    if not answers or answers[0].is_failure:
        disconnect(client)
        why = f"refuses the connection: {answers[0].getName()}" if answers else "does not speak MQTT"
        raise BrokerUnreachable(f"the broker at {address} {why}")


def disconnect(client: Client) -> None:
    """End the connection and the network thread."""
    client.disconnect()
    client.loop_stop()


def require_broker(settings: BrokerSettings, *, client_id: str = "") -> None:
    """Connect and disconnect. The broker forgets a session of ``client_id`` by that. Raises BrokerUnreachable."""
    client = make_client(settings, client_id=client_id)
    connect(client, settings.broker)
    disconnect(client)
