"""The broker's address, and what a connection shows there: the secrets of one moment. Knows no MQTT client."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, SecretStr

from fmq.service.headers import HEADERS_IN_A_FILE, Headers, parse_headers

_LONGEST = 65_535
"""Bytes of a user name or password (MQTT 5, sections 1.5.4 and 1.5.6)."""
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_PATH = re.compile(r"[!-~]*")  # as a request line takes it (RFC 9112, section 3)
_QUERY = re.compile(r"[!-~]+")
_OURS = re.compile(r"connection|upgrade|sec-websocket-.*|content-length|transfer-encoding", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """The broker's address. As a string it shows neither user, password nor query."""

    scheme: str
    host: str
    port: int
    path: str = ""
    query: str = field(default="", repr=False)
    """Of a WebSocket. It may be a signature, so it is never shown."""
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
        if url and "://" not in url and not {"@", "?"} & {*url}:  # with one of them it may show a secret
            raise ValueError(f"it has no scheme (did you mean mqtt://{url}?)")
        raise ValueError(f"it must start with one of {', '.join(f'{scheme}://' for scheme in _PORTS)}")
    if not parts.hostname:
        raise ValueError("it has no host")
    if not parts.hostname.isprintable() or " " in parts.hostname:
        raise ValueError("its host has a space")
    if port == 0:
        raise ValueError("0 is not a port")
    websocket = parts.scheme in ("ws", "wss")
    if parts.fragment or ((parts.query or parts.path not in ("", "/")) and not websocket):
        raise ValueError("unexpected text follows its host and port")
    if websocket and not _PATH.fullmatch(parts.path):
        raise ValueError("its path has a space or a character that is not ASCII: write %20 for a space")
    require_user(unquote(parts.username or ""))
    require_short(unquote(parts.password or ""))
    if parts.query:
        require_query(parts.query)
    return BrokerUrl(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _PORTS[parts.scheme],
        path=(parts.path or "/mqtt") if websocket else "",
        query=parts.query,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def require_short(text: str) -> None:
    """Raise ValueError, without the text, if it can't be a user name or password in CONNECT."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not UTF-8 text") from None
    if size > _LONGEST:
        raise ValueError(f"it is longer than the {_LONGEST} bytes that MQTT allows for a user name or password")


def require_user(text: str) -> None:
    """Raise ValueError, without the text, if it can't be a user name in CONNECT."""
    require_short(text)
    if "\0" in text:  # MQTT 5, section 1.5.4
        raise ValueError("it has a null character, which MQTT does not allow in a user name")


def require_query(query: str) -> str:
    """The query without a question mark in front. Raises ValueError, without the query, if it can't be one."""
    query = query.removeprefix("?")
    if not _QUERY.fullmatch(query) or "#" in query:
        raise ValueError("a query has only printable ASCII characters, and neither spaces nor #")
    if len(query) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} bytes")
    return query


def require_headers(text: str) -> Headers:
    """The headers in a JSON object. Raises ValueError with the reason."""
    return parse_headers(text, ours=_OURS)


def _fits_user(value: str | None) -> str | None:
    require_user(value or "")
    return value


def _checked(check: Callable[[str], object], value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        check(value.get_secret_value())
    return value


UserName = Annotated[str | None, AfterValidator(_fits_user)]
Password = Annotated[SecretStr | None, AfterValidator(partial(_checked, require_short))]
Query = Annotated[SecretStr | None, AfterValidator(partial(_checked, require_query))]
WebSocketHeaders = Annotated[SecretStr | None, AfterValidator(partial(_checked, require_headers)), HEADERS_IN_A_FILE]


class Access(NamedTuple):
    """What a connection shows the broker. ``target`` is the path of a WebSocket with its query, ``headers`` are its own."""

    username: str | None
    password: str | None
    target: str = ""
    headers: Headers = ()


def make_access(
    broker: BrokerUrl,
    *,
    username: str | None,
    password: str | None,
    query: SecretStr | None,
    headers: SecretStr | None,
    server_name: str | None = None,
) -> Access:
    """What to show ``broker``, with the secrets of this moment.

    A ``query`` belongs to the path of a WebSocket. Without WebSocket it follows the user name, where AWS IoT Core looks for
    the parameters of a custom authorizer. ``server_name`` is the host that a WebSocket asks for, if not that of the URL.
    """
    value = broker.query if query is None else require_query(query.get_secret_value())
    if not broker.websocket:
        return Access(f"{username or ''}?{value}" if value else username, password)
    target = f"{broker.path}?{value}" if value else broker.path
    given = () if headers is None else require_headers(headers.get_secret_value())
    if server_name and "host" not in dict(given):
        port = "" if broker.port == _PORTS[broker.scheme] else f":{broker.port}"
        given = (("host", f"{server_name}{port}"), *given)
    return Access(username, password, target, given)
