"""The broker: its address, what to tell it, and why it was not reached. Knows no MQTT client."""

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator, model_validator

from fmq.settings import StoreSettings, setting
from fmq.tls import client_context, explain_tls

_LONGEST = 65_535
"""Bytes of a user name or password (MQTT 5, sections 1.5.4 and 1.5.6)."""
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where the broker is. As a string it shows neither user nor password."""

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
    """Read a broker's URL. Raises ValueError with what is wrong, and never shows a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port can't be read") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"it starts with none of {', '.join(f'{scheme}://' for scheme in _PORTS)}")
    if not parts.hostname:
        raise ValueError("it names no host")
    if port == 0:
        raise ValueError("0 is no port")
    websocket = parts.scheme in ("ws", "wss")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not websocket):
        raise ValueError("there is something behind its host and port that does not belong there")
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
    """Raise ValueError, without the text, if CONNECT can't hold it as a user name or password."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8 text") from None
    if size > _LONGEST:
        raise ValueError(f"it is longer than the {_LONGEST} bytes that MQTT allows for a user name or password")


class BrokerSettings(StoreSettings):
    """How to reach a broker."""

    broker_url: str = setting(
        "mqtt://127.0.0.1:1883",
        about="The broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        right="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
    )
    broker_username: str | None = setting(
        None, about="The user name at the broker; comes before one in the URL.", right="a user name", min_length=1
    )
    broker_password: SecretStr | None = setting(
        None, about="The password at the broker; comes before one in the URL.", right="a password beside a user name"
    )
    mqtt_version: Literal["5", "3.1.1"] = setting("5", about="The version of MQTT to speak.", right="5 or 3.1.1")
    tls_ca_file: Path | None = setting(
        None, about="The CA that signed the broker's certificate (PEM); by default the system's.", right="a PEM file"
    )
    tls_cert_file: Path | None = setting(
        None, about="The client's own certificate (PEM).", right="a PEM file, with its key in FMQ_TLS_KEY_FILE"
    )
    tls_key_file: Path | None = setting(
        None, about="The key of that certificate (PEM, not encrypted).", right="a PEM file beside FMQ_TLS_CERT_FILE"
    )

    @field_validator("broker_url")
    @classmethod
    def _url_is_a_broker(cls, url: str) -> str:
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
        if not self.broker.tls and (self.tls_ca_file or self.tls_cert_file):
            raise ValueError(
                "FMQ_TLS_… files are of no use with an unencrypted FMQ_BROKER_URL: it would start with mqtts:// or wss://"
            )
        if self.password is not None and self.username is None:
            raise ValueError("FMQ_BROKER_PASSWORD needs a user name: set FMQ_BROKER_USERNAME too")
        return self

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.broker_url)

    @property
    def username(self) -> str | None:
        return self.broker_username or self.broker.username

    @property
    def password(self) -> str | None:
        if self.broker_password is not None:
            return self.broker_password.get_secret_value()
        return self.broker.password


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Always verifies the broker's certificate and name. Raises SettingsError on files that can't be used."""
    return client_context(
        "FMQ_TLS", ca_file=settings.tls_ca_file, cert_file=settings.tls_cert_file, key_file=settings.tls_key_file
    )


def explain_error(error: Exception) -> str:
    """Why the broker was not reached, in words."""
    match error:
        case ssl.SSLError():
            return explain_tls(error, "the broker")
        case socket.gaierror() | UnicodeError():
            return f"the host name can't be resolved: {error}"
        case TimeoutError():
            return "it did not answer in time"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)
