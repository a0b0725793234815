# ruff: noqa: ANN401 - fields, as setting() returns them
"""What the settings of all connections to a broker have in common: of a service, and of the handler ``mqtt``.

``broker`` is what the help calls the broker. ``tls`` starts the variables of TLS: FMQ_TLS for FMQ_TLS_CA_FILE.
"""

from typing import Annotated, Any

from pydantic import AfterValidator

from fmq.service.broker.url import Access, BrokerUrl
from fmq.service.settings import Names, setting
from fmq.service.tls import HOST_NAME, require_protocols

Protocols = Annotated[Names, AfterValidator(require_protocols)]
_FILE = "a PEM file"


def url(default: object, *, broker: str = "broker", note: str = "") -> Any:
    return setting(
        default,
        about=f"URL of the {broker}: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).{note}",
        expected="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
        has_secret_query=True,
    )


def username(broker: str) -> Any:
    return setting(
        None,
        about=f"User name at the {broker}. Takes precedence over one in the URL.",
        expected="a user name",
        min_length=1,
        has_secret_query=True,
    )


def password(broker: str) -> Any:
    return setting(
        None,
        about=f"Password at the {broker}. Takes precedence over one in the URL.",
        expected="a password, together with a user name",
    )


def query() -> Any:
    return setting(
        None,
        about="Query that gives access: after the path of ws:// and wss://, as in a presigned URL, or after the user name "
        "of mqtt:// and mqtts://, as custom authorizers of AWS IoT Core take it. Takes precedence over one in the URL.",
        expected="a query such as name=value&name=value",
    )


def headers() -> Any:
    return setting(
        None,
        about="Additional headers of the request that opens a WebSocket, such as those of a custom authorizer.",
        expected='a JSON object of strings, such as {"Authorization": "Bearer …"}, with a broker at ws:// or wss://',
    )


def ca_file(broker: str) -> Any:
    return setting(
        None,
        about=f"CA certificates that verify the {broker} (PEM). Default: those of the system.",
        expected=_FILE,
    )


def cert_file(tls: str) -> Any:
    return setting(None, about="Client certificate (PEM).", expected=f"{_FILE}, with its key in {tls}_KEY_FILE")


def key_file(tls: str) -> Any:
    return setting(
        None,
        about="Key of the client certificate (PEM, not encrypted).",
        expected=f"{_FILE}, together with {tls}_CERT_FILE",
    )


def server_name() -> Any:
    return setting(
        None,
        about="Host name that TLS sends to the broker (SNI) and expects in its certificate, and that a WebSocket asks for. "
        "Default: the host of the URL.",
        expected="a host name, such as broker.example.com",
        pattern=HOST_NAME,
    )


def protocols() -> Any:
    return setting(
        (),
        about="Application protocols that TLS offers to the broker (ALPN), separated by commas. AWS IoT Core on port 443: "
        "x-amzn-mqtt-ca with a client certificate, mqtt with a custom authorizer.",
        expected="names of 1 to 255 printable characters, such as x-amzn-mqtt-ca",
    )


def require_consistent(
    prefix: str, broker: BrokerUrl, access: Access, *, tls: str, has_tls: bool, has_headers: bool
) -> None:
    """Raise ValueError if ``broker`` has no use for a setting. ``prefix`` starts the variables: FMQ_BROKER for FMQ_BROKER_URL."""
    if has_tls and not broker.tls:
        raise ValueError(
            f"{tls}_… settings need an encrypted connection: expected an {prefix}_URL that starts with mqtts:// or wss://"
        )
    if has_headers and not broker.websocket:
        raise ValueError(
            f"{prefix}_HEADERS needs a WebSocket: expected an {prefix}_URL that starts with ws:// or wss://"
        )
    if access.password is not None and access.username is None:
        raise ValueError(f"{prefix}_PASSWORD needs a user name: set {prefix}_USERNAME too")
