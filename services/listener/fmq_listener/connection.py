"""Making a paho client as the settings say, and what its failures mean to people."""

import logging
import socket
import time
from zlib import crc32

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.broker import tls_context
from fmq_listener.settings import LARGEST_PACKET, ListenerSettings
from fmq_listener.wire import WireClient

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
_SAFE_IN_IDS = "-_."


def default_client_id(settings: ListenerSettings) -> str:
    """The same at every start on this machine, and another one for each first topic filter.

    Only the first: a change of the id would leave the messages behind that the broker keeps for the old one.
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in _SAFE_IN_IDS) else "-" for c in socket.gethostname())
    return f"fmq-{host[:32]}-{crc32(settings.topics[0].encode()):08x}"


def make_client(settings: ListenerSettings, client_id: str, *, clean: bool = False) -> WireClient:
    """A client with a persistent session that acknowledges nothing by itself. Raises SettingsError on bad TLS files.

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
    """Tell a client the user, the password, TLS and the WebSocket's path. Raises SettingsError on bad TLS files."""
    broker = settings.broker
    client.connect_timeout = _CONNECT_SECONDS
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if broker.tls:
        client.tls_set_context(tls_context(settings))
    if broker.websocket:
        client.ws_set_options(broker.path)


def open_connection(client: Client, settings: ListenerSettings) -> None:
    """Reach the broker and send CONNECT. Raises OSError or ValueError (a host name that can't be one)."""
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


def warn_of_larger_packets(settings: ListenerSettings, properties: Properties | None) -> None:
    """Say so if the broker takes larger messages than it hands over; ``properties`` are those of its CONNACK.

    It discards what is larger than it was told as if it had been delivered (MQTT 5, section 3.1.2.11.4).
    """
    theirs = getattr(properties, "MaximumPacketSize", LARGEST_PACKET)
    if settings.mqtt_version == "5" and theirs > settings.max_packet_bytes:
        _log.warning(
            "The broker takes messages of up to %d bytes from publishers, and drops those above FMQ_MAX_PACKET_BYTES=%d for "
            "this listener without an error. Set a lower limit at the broker (Mosquitto: max_packet_size)",
            theirs,
            settings.max_packet_bytes,
        )


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
