"""What the demo is told of a broker: the listener's names, for its own connection to the same one."""

from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator

from fmq.settings import StoreSettings, setting

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class DemoSettings(StoreSettings):
    """How to reach a broker that is there already."""

    broker_url: str | None = setting(
        None,
        about="A broker that is there already: mqtt://, mqtts://, ws:// or wss://. By default the demo starts one.",
        right="mqtt://user@host:1883 or mqtts://host",
    )
    broker_username: str | None = setting(
        None, about="The user name at that broker; comes before one in the URL.", right="a user name", min_length=1
    )
    broker_password: SecretStr | None = setting(
        None, about="The password at that broker; comes before one in the URL.", right="a password"
    )
    mqtt_version: Literal["5", "3.1.1"] = setting(
        "5", about="The version of MQTT to speak (the embedded broker knows only 3.1.1).", right="5 or 3.1.1"
    )
    tls_ca_file: Path | None = setting(None, about="The CA that signed the broker's certificate.", right="a PEM file")
    tls_cert_file: Path | None = setting(None, about="The client's own certificate.", right="a PEM file")
    tls_key_file: Path | None = setting(None, about="The key of that certificate.", right="a PEM file")

    @field_validator("broker_url")
    @classmethod
    def _url_is_a_broker(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                parts = urlsplit(url)
                good = parts.scheme in _PORTS and parts.hostname and parts.port != 0
            except ValueError:
                good = False
            if not good:
                raise ValueError("it is no broker's address")
        return url

    @field_validator("tls_key_file")
    @classmethod
    def _key_has_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert_file") is None):
            raise ValueError("FMQ_TLS_CERT_FILE and FMQ_TLS_KEY_FILE belong together")
        return key


class Address:
    """A broker's address, taken apart. As a string it shows neither user nor password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS[parts.scheme]
        self.path = parts.path if parts.path not in ("", "/") else "/mqtt"
        self.username = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path if self.websocket else ''}"
