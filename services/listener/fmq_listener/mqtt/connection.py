"""Making a paho client as the settings say, and what its failures mean to people."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.mqtt.reasons import HearingClient
from fmq.service.broker.client import CONNECT_SECONDS, give_access, make_client
from fmq.service.broker.settings import tls_context
from fmq_listener.mqtt.refusals import explain_refusal
from fmq_listener.mqtt.wire import WireClient, use_tls
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_C = TypeVar("_C", bound=Client)
_HTTPS_PORT = 443


def make_listening_client(settings: ListenerSettings, client_id: str, *, clean: bool = False) -> WireClient:
    """A client with a persistent session that acknowledges nothing automatically. Raises SettingsError for bad TLS files.

    With ``clean`` it begins a new session, which ends with the connection.
    """
    marking = settings.duplicates == "session" or settings.mqtt_version != "5"
    options = {"reconnect_on_failure": False, "manual_ack": True, "marking": marking}
    client = new_client(
        settings, client_id, make=partial(WireClient, CallbackAPIVersion.VERSION2), clean=clean, **options
    )
    client.limit(messages=settings.inflight, size=settings.inflight_bytes, packet=settings.max_packet_bytes)
    if _log.isEnabledFor(logging.DEBUG):
        client.enable_logger(logging.getLogger("paho"))
    return client


def new_client(
    settings: ListenerSettings, client_id: str, *, make: Callable[..., _C], clean: bool = True, **options: object
) -> _C:
    """Any client of the listener, with its user, password and TLS. Raises SettingsError for bad TLS files."""
    version = settings.mqtt_version
    client = make_client(make, settings.broker, client_id=client_id, version=version, clean=clean, **options)
    refresh(client, settings)
    return client


PLAIN = partial(HearingClient, CallbackAPIVersion.VERSION2)
"""Makes a client of paho's for ``new_client``."""


def refresh(client: Client, settings: ListenerSettings) -> None:
    """Let the next connection use secrets and certificates as their files hold them now. Raises SettingsError."""
    give_access(client, settings.broker, settings.access_to(settings.broker))
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
    client = make_listening_client(settings, client_id, clean=True)
    answers: list[ReasonCode] = []
    client.on_connect = lambda _client, _userdata, _flags, reason, _properties: answers.append(reason)
    client.connect(settings.broker.host, settings.broker.port, settings.keepalive_seconds)
    loop_until(client, lambda: bool(answers))
    if not answers or answers[0].is_failure:
        raise ConnectionError(explain_refusal(answers[0], client.said) if answers else "it did not answer")
    client.disconnect()


def loop_until(client: Client, condition: Callable[[], bool], seconds: float = CONNECT_SECONDS) -> None:
    """Run the network loop until ``condition`` holds, the connection ends or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline and not client.loop(0.1):
        pass


def hint_of_silence(settings: ListenerSettings) -> str:
    """Which settings may help if the broker does not answer CONNECT."""
    hints = []
    if settings.mqtt_version == "5":
        hints.append("; if it knows no MQTT 5, set FMQ_MQTT_VERSION=3.1.1")
    broker = settings.broker
    if broker.tls and not broker.websocket and (settings.tls_alpn or broker.port == _HTTPS_PORT):
        hints.append("; if it expects another application protocol (ALPN) on this port, set FMQ_TLS_ALPN")
    return "".join(hints)
