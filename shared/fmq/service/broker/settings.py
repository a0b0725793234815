"""The settings of a service's connection to the broker."""

import ssl
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from fmq.service.broker import fields
from fmq.service.broker.url import (
    Access,
    BrokerUrl,
    Password,
    Query,
    UserName,
    WebSocketHeaders,
    make_access,
    parse_url,
)
from fmq.service.settings import Headings, StoreSettings, setting
from fmq.service.tls import TlsFiles, TlsGreeting, require_pair

_TLS = "FMQ_TLS"


class OptionalBrokerSettings(StoreSettings):
    """Settings of a connection to the broker, for a service that also works without one."""

    table: ClassVar = "broker"

    broker_url: str | None = fields.url(None, note=" Default: no broker.")
    broker_username: UserName = fields.username("broker")
    broker_password: Password = fields.password("broker")
    broker_query: Query = fields.query()
    broker_headers: WebSocketHeaders = fields.headers()
    mqtt_version: Literal["5", "3.1.1"] = setting("5", about="MQTT version to use.", expected="5 or 3.1.1")
    tls_ca_file: Path | None = fields.ca_file("broker")
    tls_cert_file: Path | None = fields.cert_file(_TLS)
    tls_key_file: Path | None = fields.key_file(_TLS)
    tls_server_name: str | None = fields.server_name()
    tls_alpn: fields.Protocols = fields.protocols()

    headings: ClassVar[Headings] = {
        "Broker": (
            "broker_url",
            "broker_username",
            "broker_password",
            "broker_query",
            "broker_headers",
            "mqtt_version",
            "tls_ca_file",
            "tls_cert_file",
            "tls_key_file",
            "tls_server_name",
            "tls_alpn",
        )
    }

    @field_validator("broker_url")
    @classmethod
    def _url_is_a_broker(cls, url: str | None) -> str | None:
        if url is not None:
            parse_url(url)
        return url

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        require_pair(_TLS, cert_file=self.tls_cert_file, key_file=self.tls_key_file)
        if self.broker is not None:
            fields.require_consistent(
                "FMQ_BROKER",
                self.broker,
                self.access_to(self.broker),
                tls=_TLS,
                has_tls=any((self.tls_ca_file, self.tls_cert_file, self.tls_server_name, self.tls_alpn)),
                has_headers=self.broker_headers is not None,
            )
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

    def access_to(self, broker: BrokerUrl) -> Access:
        """What a connection shows ``broker``, with the secrets of this moment."""
        return make_access(
            broker,
            username=self.username,
            password=self.password,
            query=self.broker_query,
            headers=self.broker_headers,
            server_name=self.tls_server_name,
        )


class BrokerSettings(OptionalBrokerSettings):
    """Settings of a connection to the broker."""

    broker_url: str = fields.url("mqtt://127.0.0.1:1883")

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.broker_url)


def tls_context(settings: OptionalBrokerSettings) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name. Raises SettingsError for files that can't be used."""
    return tls_files(settings).context()


def tls_files(settings: OptionalBrokerSettings) -> TlsFiles:
    """The same for connections that come and go."""
    return TlsFiles(
        _TLS,
        ca_file=settings.tls_ca_file,
        cert_file=settings.tls_cert_file,
        key_file=settings.tls_key_file,
        greeting=TlsGreeting(settings.tls_server_name, settings.tls_alpn),
    )
