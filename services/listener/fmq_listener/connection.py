"""Making a paho client as the settings say, and what its failures mean to people."""

import logging
import socket
import ssl
from pathlib import Path
from zlib import crc32

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.errors import SettingsError
from fmq_listener.settings import ListenerSettings
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


def make_client(settings: ListenerSettings, client_id: str) -> WireClient:
    """A client with a persistent session that acknowledges nothing by itself. Raises SettingsError on bad TLS files."""
    broker = settings.broker
    v5 = settings.mqtt_version == "5"
    client = WireClient(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if v5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        transport="websockets" if broker.websocket else "tcp",
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.limit(messages=settings.inflight, size=settings.inflight_bytes)
    client.connect_timeout = _CONNECT_SECONDS
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if broker.tls:
        client.tls_set_context(tls_context(settings))
    if broker.websocket:
        client.ws_set_options(broker.path)
    if _log.isEnabledFor(logging.DEBUG):
        client.enable_logger(logging.getLogger("paho"))
    return client


def open_connection(client: Client, settings: ListenerSettings) -> None:
    """Reach the broker and send CONNECT. Raises OSError or ValueError (a host name that can't be one)."""
    broker = settings.broker
    if settings.mqtt_version == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = settings.session_expiry_seconds
        properties.ReceiveMaximum = settings.inflight
        rc = client.connect(
            broker.host, broker.port, settings.keepalive_seconds, clean_start=False, properties=properties
        )
    else:
        rc = client.connect(broker.host, broker.port, settings.keepalive_seconds)
    if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
        raise ConnectionError("the connection ended at once")


def tls_context(settings: ListenerSettings) -> ssl.SSLContext:
    """Always verifies the broker's certificate and name. Raises SettingsError on files that can't be used."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as error:
        raise SettingsError(f"FMQ_TLS_CA_FILE={_shown(settings.tls_ca_file)}: {_why(error)}") from error
    if settings.tls_cert_file is not None:
        try:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password=lambda: b"")
        except OSError as error:
            raise SettingsError(
                f"FMQ_TLS_CERT_FILE={_shown(settings.tls_cert_file)}, "
                f"FMQ_TLS_KEY_FILE={_shown(settings.tls_key_file)}: {_why(error)}"
            ) from error
    return context


def _shown(path: Path | None) -> str:
    return repr(str(path))


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a PEM file with what belongs there, or the key is encrypted or belongs to another certificate"
    return error.strerror or str(error)


def explain_error(error: Exception) -> str:
    """Why the broker was not reached, in words."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the broker's TLS certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case socket.gaierror() | UnicodeError():
            return f"the host name can't be resolved: {error}"
        case TimeoutError():
            return "it did not answer in time"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


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
