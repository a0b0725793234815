"""The broker: the settings of a connection, and why it was not reached. Knows no MQTT client."""

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, SecretStr, field_validator, model_validator

from fmq.service.broker_url import (
    Access,
    BrokerUrl,
    Query,
    WebSocketHeaders,
    make_access,
    parse_url,
    require_short,
    require_user,
)
from fmq.service.settings import Headings, Names, StoreSettings, setting
from fmq.service.tls import HOST_NAME, TlsFiles, TlsGreeting, explain_tls, require_protocols

_C = TypeVar("_C", bound="MqttClient")
CONNECT_SECONDS = 5.0
"""How long connecting, and each answer to CONNECT, may take."""
_EXPECTED_URL = "mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path"


class OptionalBrokerSettings(StoreSettings):
    """Settings of a connection to the broker, for a service that also works without one."""

    table: ClassVar = "broker"

    broker_url: str | None = setting(
        None,
        about="URL of the broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket). Default: no broker.",
        expected=_EXPECTED_URL,
        has_secret_query=True,
    )
    broker_username: str | None = setting(
        None,
        about="User name at the broker. Takes precedence over one in the URL.",
        expected="a user name",
        min_length=1,
        has_secret_query=True,
    )
    broker_password: SecretStr | None = setting(
        None,
        about="Password at the broker. Takes precedence over one in the URL.",
        expected="a password, together with a user name",
    )
    broker_query: Query = setting(
        None,
        about="Query that gives access: after the path of ws:// and wss://, as in a presigned URL, or after the user name "
        "of mqtt:// and mqtts://, as custom authorizers of AWS IoT Core take it. Takes precedence over one in the URL.",
        expected="a query such as name=value&name=value",
    )
    broker_headers: WebSocketHeaders = setting(
        None,
        about="Additional headers of the request that opens a WebSocket, such as those of a custom authorizer.",
        expected='a JSON object of strings, such as {"Authorization": "Bearer …"}, with a broker at ws:// or wss://',
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
    tls_server_name: str | None = setting(
        None,
        about="Host name that TLS sends to the broker (SNI) and expects in its certificate, and that a WebSocket asks for. Default: the host of the URL.",
        expected="a host name, such as broker.example.com",
        pattern=HOST_NAME,
    )
    tls_alpn: Annotated[Names, AfterValidator(require_protocols)] = setting(
        (),
        about="Application protocols that TLS offers to the broker (ALPN), separated by commas. AWS IoT Core on port 443: "
        "x-amzn-mqtt-ca with a client certificate, mqtt with a custom authorizer.",
        expected="names of 1 to 255 printable characters, such as x-amzn-mqtt-ca",
    )

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

    @field_validator("broker_username", "broker_password")
    @classmethod
    def _fits_into_connect(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        if isinstance(value, SecretStr):
            require_short(value.get_secret_value())
        else:
            require_user(value or "")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("FMQ_TLS_CERT_FILE and FMQ_TLS_KEY_FILE belong together: set both or neither")
        if self.broker is None:
            return self
        tls = (self.tls_ca_file, self.tls_cert_file, self.tls_server_name, self.tls_alpn)
        if not self.broker.tls and any(tls):
            raise ValueError(
                "FMQ_TLS_… settings need an encrypted connection: expected an FMQ_BROKER_URL that starts with mqtts:// or wss://"
            )
        if self.broker_headers is not None and not self.broker.websocket:
            raise ValueError(
                "FMQ_BROKER_HEADERS needs a WebSocket: expected an FMQ_BROKER_URL that starts with ws:// or wss://"
            )
        if self.password is not None and self.username is None and (self.broker.websocket or not self.broker_query):
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

    broker_url: str = setting(
        "mqtt://127.0.0.1:1883",
        about="URL of the broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        expected=_EXPECTED_URL,
        has_secret_query=True,
    )

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.broker_url)


def tls_context(settings: OptionalBrokerSettings) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name. Raises SettingsError for files that can't be used."""
    return tls_files(settings).context()


def tls_files(settings: OptionalBrokerSettings) -> TlsFiles:
    """The same for connections that come and go."""
    return TlsFiles(
        "FMQ_TLS",
        ca_file=settings.tls_ca_file,
        cert_file=settings.tls_cert_file,
        key_file=settings.tls_key_file,
        greeting=TlsGreeting(settings.tls_server_name, settings.tls_alpn),
    )


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
