"""The database that a URL names."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fmq.errors import SettingsError
from fmq.text import without_password

_DEFAULT_PORT = "5432"
_DEFAULTS: Mapping[str, str] = {
    "application_name": "fmq",
    "connect_timeout": "5",
    # A server whose host is gone is noticed within seconds, not within hours.
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    # Of several hosts, only the primary.
    "target_session_attrs": "read-write",
}


class Target(NamedTuple):
    """``parameters`` are those of libpq; ``name`` shows the database to people, without a password."""

    parameters: Mapping[str, str]
    name: str

    @property
    def host(self) -> str:
        """The hosts, as a URL names them."""
        return ",".join(host if port == _DEFAULT_PORT else f"{host}:{port}" for host, port in _servers(self.parameters))

    def each(self) -> Sequence["Target"]:
        """The same database on each host alone."""
        addresses = self.parameters.get("hostaddr", "").split(",")
        servers = _servers(self.parameters)
        if len(addresses) != len(servers) or addresses == [""]:
            return [self.including(host=host, port=port) for host, port in servers]
        return [
            self.including(host=host, port=port, hostaddr=address)
            for (host, port), address in zip(servers, addresses, strict=True)
        ]

    def including(self, **parameters: str) -> "Target":
        """The same with other parameters."""
        return Target({**self.parameters, **parameters}, self.name)

    @property
    def places(self) -> frozenset[tuple[str, str, str]]:
        """Host, port and database of each server that may be the primary."""
        return frozenset((host, port, self.parameters["dbname"]) for host, port in _servers(self.parameters))


def target_of(url: str) -> Target:
    """The database that ``url`` names (postgresql.org, "Connection URIs"). Raises SettingsError."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.Error:
        raise _invalid(url) from None  # the driver's own text may hold a part of the password
    if not given.get("dbname") or set(":@") & set(given["dbname"]):
        raise _invalid(url)
    user = f"{given['user']}@" if given.get("user") else ""
    target = Target({**_DEFAULTS, **given}, "")
    return target._replace(name=f"postgresql://{user}{target.host}/{given['dbname']}")


def _servers(parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """Host and port of each server."""
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = parameters.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return [(host.lower(), port or _DEFAULT_PORT) for host, port in zip(hosts, ports, strict=False)]


def _invalid(url: str) -> SettingsError:
    return SettingsError(
        f"Invalid queue URL {without_password(url)!r}: expected one like postgresql://fmq@db.example.com/fmq or "
        "postgresql://fmq@a.example.com,b.example.com/fmq"
    )
