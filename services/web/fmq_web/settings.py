"""The settings of ``fmq web``, in addition to those of every service."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, ClassVar

from pydantic import AfterValidator, SecretStr

from fmq.service.broker.settings import OptionalBrokerSettings
from fmq.service.settings import Headings, Names, ServiceSettings, setting

_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        ip_network(value)  # raises ValueError that names the value
    return values


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HOST.fullmatch(value):
            raise ValueError("a name has neither a scheme nor a port")
    return values


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address or name ``host``."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class WebSettings(ServiceSettings, OptionalBrokerSettings):
    """The settings of ``fmq web``."""

    table: ClassVar = "web"
    broker_url: str | None = setting(
        None,
        about="URL of the broker to which messages can be published again: mqtt:// or mqtts:// (TLS), ws:// or wss:// "
        "(WebSocket). Without it the page publishes nothing.",
        expected="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
    )
    web_host: str = setting(
        "127.0.0.1",
        about="Address on which the web page listens. On another than loopback it always asks for a user.",
        expected="an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        min_length=1,
    )
    web_port: int = setting(
        9466,
        about="Port of the web page.",
        expected="a port from 0 to 65535 (0: any free one), such as 9466",
        ge=0,
        le=65_535,
    )
    web_password: SecretStr | None = setting(
        None,
        about="Password of the user operator, who may do everything. Without it and without FMQ_WEB_USERS_FILE, a new one is logged at each start.",
        expected="a password of at least 8 characters",
        min_length=8,
    )
    web_users_file: str | None = setting(
        None,
        about="File with users and tokens, one per line, as fmq web user and fmq web token print them. It is read again after a change.",
        expected="the path of a text file",
        min_length=1,
    )
    web_hosts: Annotated[Names, AfterValidator(_hosts)] = setting(
        (),
        about="Names under which the page is reached, separated by commas. Others are refused, against DNS rebinding. "
        "Loopback's names and the address of FMQ_WEB_HOST are always allowed.",
        expected="names of hosts, such as fmq.example.com",
    )
    web_trusted_proxies: Annotated[Names, AfterValidator(_networks)] = setting(
        (),
        about="Addresses of reverse proxies whose X-Forwarded-User, X-Forwarded-Proto and X-Forwarded-For count.",
        expected="addresses or networks, such as 10.0.0.7 or 10.0.0.0/24",
    )
    web_proxy_role: str = setting(
        "read",
        about="Role of a user that a trusted proxy names and that FMQ_WEB_USERS_FILE does not.",
        expected="read or operate",
        pattern=r"^(read|operate)$",
    )
    web_show_payloads: bool = setting(
        True,
        about="Show the contents of messages (payloads and properties). Off: topics, sizes and times only.",
        expected="true or false",
    )

    headings: ClassVar[Headings] = {
        "Web page": (
            "web_host",
            "web_port",
            "web_password",
            "web_users_file",
            "web_hosts",
            "web_trusted_proxies",
            "web_proxy_role",
            "web_show_payloads",
        )
    }

    @property
    def anonymous_reads(self) -> bool:
        """Whether callers may read without signing in: nobody has set up users, and only this machine reaches the page.

        With FMQ_WEB_HOSTS or FMQ_WEB_TRUSTED_PROXIES a reverse proxy brings callers from elsewhere, so they sign in.
        """
        users = self.web_password is not None or self.web_users_file is not None
        return is_loopback(self.web_host) and not (users or self.web_hosts or self.web_trusted_proxies)
