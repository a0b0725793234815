"""The broker: its address, the settings of a connection, and why it was not reached. Knows no MQTT client."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator, model_validator

from fmq.service.settings import Headings, StoreSettings, setting
from fmq.service.tls import client_context, explain_tls

_C = TypeVar("_C", bound="MqttClient")
CONNECT_SECONDS = 5.0
"""How long connecting, and each answer to CONNECT, may take."""
_LONGEST = 65_535
"""Bytes of a user name or password (MQTT 5, sections 1.5.4 and 1.5.6)."""
_EXPECTED_URL = "mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path"
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """The broker's address. As a string it shows neither user nor password."""

    scheme: str
    host: str
    port: int
    path: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_url(url: str) -> BrokerUrl:
    """Parse a broker's URL. Raises ValueError with the reason, which never shows a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is invalid") from None
    if parts.scheme not in _PORTS:
        if url and "://" not in url and "@" not in url:  # with an @ it may show a password
            raise ValueError(f"it has no scheme (did you mean mqtt://{url}?)")
        raise ValueError(f"it must start with one of {', '.join(f'{scheme}://' for scheme in _PORTS)}")
    if not parts.hostname:
        raise ValueError("it has no host")
    if not parts.hostname.isprintable() or " " in parts.hostname:
        raise ValueError("its host has a space")
    if port == 0:
        raise ValueError("0 is not a port")
    websocket = parts.scheme in ("ws", "wss")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not websocket):
        raise ValueError("unexpected text follows its host and port")
    for part in (parts.username, parts.password):
        _require_short(unquote(part or ""))
    return BrokerUrl(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        path=(parts.path or "/mqtt") if websocket else "",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _require_short(text: str) -> None:
    """Raise ValueError, without the text, if it can't be a user name or password in CONNECT."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8 text") from None
    if size > _LONGEST:
        raise ValueError(f"it is longer than the {_LONGEST} bytes that MQTT allows for a user name or password")


class OptionalBrokerSettings(StoreSettings):
    """Settings of a connection to the broker, for a service that also works without one."""

    table: ClassVar = "broker"

    broker_url: str | None = setting(
        None,
        about="URL of the broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket). Default: no broker.",
        expected=_EXPECTED_URL,
    )
    broker_username: str | None = setting(
        None,
        about="User name at the broker. Takes precedence over one in the URL.",
        expected="a user name",
        min_length=1,
    )
    broker_password: SecretStr | None = setting(
        None,
        about="Password at the broker. Takes precedence over one in the URL.",
        expected="a password, together with a user name",
    )
    mqtt_version: Literal["5", "3.1.1"] = setting("5", about="MQTT version to use.", expected="5 or 3.1.1")
    tls_ca_file: Path | None = setting(
        None, about="CA certificates that verify the broker (PEM). Default: those of the system.", expected="a PEM file"
    )
    tls_cert_file: Path | None = setting(
        None, about="Client certificate (PEM).", expected="a PEM file, with its key in FMQ_TLS_KEY_FILE"
    )
    tls_key_file: Path | None = setting(
        None,
        about="Key of the client certificate (PEM, not encrypted).",
        expected="a PEM file, together with FMQ_TLS_CERT_FILE",
    )

    headings: ClassVar[Headings] = {
        "Broker": (
            "broker_url",
            "broker_username",
            "broker_password",
            "mqtt_version",
            "tls_ca_file",
            "tls_cert_file",
            "tls_key_file",
        )
    }

    @field_validator("broker_url")
    @classmethod
    def _url_is_a_broker(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url

    @field_validator("broker_username", "broker_password")
    @classmethod
    def _fits_into_connect(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        _require_short(value.get_secret_value() if isinstance(value, SecretStr) else value or "")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("FMQ_TLS_CERT_FILE and FMQ_TLS_KEY_FILE belong together: set both or neither")
        if self.broker is None:
            return self
        if not self.broker.tls and (self.tls_ca_file or self.tls_cert_file):
            raise ValueError(
                "FMQ_TLS_… files need an encrypted connection: expected an FMQ_BROKER_URL that starts with mqtts:// or wss://"
            )
        if self.password is not None and self.username is None:
            raise ValueError("FMQ_BROKER_PASSWORD needs a user name: set FMQ_BROKER_USERNAME too")
        return self

    @property
    def broker(self) -> BrokerUrl | None:
        return None if self.broker_url is None else parse_url(self.broker_url)

    @property
    def username(self) -> str | None:
        return self.broker_username or (None if self.broker is None else self.broker.username)

    @property
    def password(self) -> str | None:
        if self.broker_password is not None:
            return self.broker_password.get_secret_value()
        return None if self.broker is None else self.broker.password


class BrokerSettings(OptionalBrokerSettings):
    """Settings of a connection to the broker."""

    broker_url: str = setting(
        "mqtt://127.0.0.1:1883",
        about="URL of the broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        expected=_EXPECTED_URL,
    )

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.broker_url)


def tls_context(settings: OptionalBrokerSettings) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name. Raises SettingsError for files that can't be used."""
    return client_context(
        "FMQ_TLS", ca_file=settings.tls_ca_file, cert_file=settings.tls_cert_file, key_file=settings.tls_key_file
    )


class MqttClient(Protocol):
    """The part of an MQTT client of paho that every connection of fmq sets up."""

    connect_timeout: float

    def ws_set_options(self, path: str) -> None: ...


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
    if broker.websocket:
        client.ws_set_options(broker.path)
    return client


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
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)
