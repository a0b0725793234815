"""Making a paho client as the settings say, and what its failures mean to people."""

import logging
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.broker import tls_context
from fmq_listener.settings import ListenerSettings
from fmq_listener.wire import WireClient, use_tls

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
NO_MQTT_5 = "; if it knows no MQTT 5, set FMQ_MQTT_VERSION=3.1.1"


def make_client(settings: ListenerSettings, client_id: str, *, clean: bool = False) -> WireClient:
    """A client with a persistent session that acknowledges nothing automatically. Raises SettingsError on bad TLS files.

    With ``clean`` it begins a new session, which ends with the connection.
    """
    broker = settings.broker
    v5 = settings.mqtt_version == "5"
    client = WireClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if v5 else clean,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if broker.websocket else "tcp",
        reconnect_on_failure=False,
        manual_ack=True,
        marking=settings.duplicates == "session",
    )
    client.limit(messages=settings.inflight, size=settings.inflight_bytes, packet=settings.max_packet_bytes)
    introduce(client, settings)
    if _log.isEnabledFor(logging.DEBUG):
        client.enable_logger(logging.getLogger("paho"))
    return client


def introduce(client: Client, settings: ListenerSettings) -> None:
    """Give a new client the user, the password, TLS and the WebSocket's path. Raises SettingsError on bad TLS files."""
    client.connect_timeout = _CONNECT_SECONDS
    if settings.broker.websocket:
        client.ws_set_options(settings.broker.path)
    refresh(client, settings)


def refresh(client: Client, settings: ListenerSettings) -> None:
    """Let the next connection use secrets and certificates as their files hold them now. Raises SettingsError."""
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.broker.tls:
        use_tls(client, tls_context(settings))


def open_connection(client: Client, settings: ListenerSettings) -> None:
    """Reach the broker and send CONNECT, with the secrets and certificates of now.

    Raises OSError, ValueError (a host name that can't be one) and SettingsError (bad TLS files).
    """
    refresh(client, settings)
    broker = settings.broker
    if settings.mqtt_version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_seconds
        properties.ReceiveMaximum = settings.inflight
        properties.MaximumPacketSize = settings.max_packet_bytes
        rc = client.connect(
            broker.host, broker.port, settings.keepalive_seconds, clean_start=False, properties=properties
        )
    else:
        rc = client.connect(broker.host, broker.port, settings.keepalive_seconds)
    if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise ConnectionError("the connection ended at once")


def forget_session(settings: ListenerSettings, client_id: str) -> None:
    """Have the broker end the session of ``client_id``, by connecting once with a new one that ends at once.

    Raises OSError or ValueError if the broker is not reached, ConnectionError if it does not answer or refuses.
    """
    client = make_client(settings, client_id, clean=True)
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: answers.append(reason)
    client.connect(settings.broker.host, settings.broker.port, settings.keepalive_seconds)
    deadline = time.monotonic() + _CONNECT_SECONDS
    while not answers and time.monotonic() < deadline and not client.loop(1.0):
        pass
    if not answers or answers[0].is_failure:
        raise ConnectionError(explain_refusal(answers[0]) if answers else "it did not answer")
    client.disconnect()


def explain_refusal(reason: ReasonCode) -> str:
    """Why the broker refused the connection, in words."""
    hints = {
        "Bad user name or password": "; set FMQ_BROKER_USERNAME and FMQ_BROKER_PASSWORD",
        "Not authorized": "; the broker wants another user name, password or client certificate",
        "Unsupported protocol version": "; set FMQ_MQTT_VERSION to the other one",
        "Client identifier not valid": "; set another FMQ_CLIENT_ID",
    }
    name = reason.getName()
    return f"the broker refused the connection: {name}{hints.get(name, '')}"
