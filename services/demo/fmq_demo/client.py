"""The demo's own connections to the broker."""

import socket
import ssl
import threading

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.errors import FmqError, SettingsError
from fmq_demo.settings import Address, DemoSettings

_CONNECT_SECONDS = 5.0


class BrokerUnreachable(FmqError):
    """The broker can't be reached."""


def make_client(settings: DemoSettings, address: Address, *, client_id: str = "") -> Client:
    """A client with a new session, not connected yet. Raises SettingsError on TLS files that can't be used."""
    v5 = settings.mqtt_version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if v5 else True,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if address.websocket else "tcp",
    )
    client.connect_timeout = _CONNECT_SECONDS
    username = settings.broker_username or address.username
    if username is not None:
        secret = settings.broker_password
        client.username_pw_set(username, secret.get_secret_value() if secret else address.password)
    if address.tls:
        client.tls_set_context(_tls_context(settings))
    if address.websocket:
        client.ws_set_options(address.path)
    return client


def connect(client: Client, address: Address) -> None:
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
        raise BrokerUnreachable(f"the broker at {address} can't be reached: {_why(error)}") from error
    client.loop_start()
    answered.wait(_CONNECT_SECONDS)
    if not answers or answers[0].is_failure:
        disconnect(client)
        why = f"refuses the connection: {answers[0].getName()}" if answers else "does not speak MQTT"
        raise BrokerUnreachable(f"the broker at {address} {why}")


def disconnect(client: Client) -> None:
    """End the connection and the network thread."""
    client.disconnect()
    client.loop_stop()


def require_broker(settings: DemoSettings, address: Address, *, client_id: str = "") -> None:
    """Connect and disconnect. The broker forgets a session of ``client_id`` by that. Raises BrokerUnreachable."""
    client = make_client(settings, address, client_id=client_id)
    connect(client, address)
    disconnect(client)


def _tls_context(settings: DemoSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
        if settings.tls_cert_file is not None:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=lambda: b"")
    except OSError as error:
        raise SettingsError(f"the TLS files can't be used: {error.strerror or error}") from error
    return context


def _why(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is refused: {error.verify_message}"
        case socket.gaierror() | UnicodeError():
            return f"the host name can't be resolved: {error}"
        case TimeoutError():
            return "it did not answer in time"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)
