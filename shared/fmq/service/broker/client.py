"""What every MQTT client of fmq is set up with, and why the broker was not reached. Knows paho by its signatures only."""

import socket
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

from fmq.service.broker.url import Access, BrokerUrl
from fmq.service.tls import explain_tls

_C = TypeVar("_C", bound="MqttClient")
CONNECT_SECONDS = 5.0
"""How long connecting, and each answer to CONNECT, may take."""


class MqttClient(Protocol):
    """The part of an MQTT client of paho that every connection of fmq sets up."""

    connect_timeout: float

    def username_pw_set(self, username: str | None, password: str | None) -> None: ...

    def ws_set_options(self, path: str, headers: dict[str, str]) -> None: ...


def make_client(
    make: Callable[..., _C], broker: BrokerUrl, *, client_id: str, version: str, clean: bool = True, **options: object
) -> _C:
    """A client for ``broker``, not connected yet. ``make`` is paho's Client with its callback API version.

    ``clean`` concerns MQTT 3.1.1 only: MQTT 5 decides at CONNECT. ``options`` are further arguments of ``make``.
    """
    v5 = version == "5"
    client = make(
        client_id=client_id,
        clean_session=None if v5 else clean,
        protocol=5 if v5 else 4,  # the protocol level in CONNECT (section 3.1.2.2)
        transport="websockets" if broker.websocket else "tcp",
        **options,
    )
    client.connect_timeout = CONNECT_SECONDS
    return client


def give_access(client: MqttClient, broker: BrokerUrl, access: Access) -> None:
    """Let the next connection of ``client`` show this to ``broker``."""
    if access.username is not None:
        client.username_pw_set(access.username, access.password)
    if broker.websocket:
        client.ws_set_options(access.target, {_as_paho(name): value for name, value in access.headers})


def _as_paho(name: str) -> str:
    """Paho's own header Host is replaced only by the same name."""
    return name.title() if name in ("host", "origin") else name


def explain_end(*, reason: str | None, tls_failure: Exception | None) -> str:
    """Why a connection ended, for people. ``reason`` is that of the broker's DISCONNECT, if it sent one."""
    if reason is not None:
        return f"the broker closed the connection: {reason}"
    if tls_failure is not None:
        return explain_error(tls_failure)
    return "the connection closed without a reason from the broker"


def explain_error(error: Exception) -> str:
    """Why the broker was not reached, for people."""
    match error:
        case ssl.SSLError():
            return explain_tls(error, "the broker")
        case socket.gaierror() | UnicodeError():
            return f"the host name can't be resolved: {getattr(error, 'strerror', None) or error}"
        case TimeoutError():
            return "it did not answer in time"
        case ConnectionError() if "WebSocket" in str(error):
            return (
                "it refused the WebSocket: the path, the query or a header is wrong, or a presigned query has expired "
                f"({error})"
            )
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)
