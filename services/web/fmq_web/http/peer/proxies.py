"""Reverse proxies: whose headers count."""

from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from starlette.requests import Request

from fmq_web.http.problems import Problem


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request comes from. ``user`` is whom a trusted proxy names. ``secure``: the browser used TLS."""

    address: str
    secure: bool
    user: str | None = None
    forwarded: bool = False
    """Some proxy, trusted or not, has passed it on."""


class Proxies:
    """The addresses and networks of FMQ_WEB_TRUSTED_PROXIES."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def trusts(self, address: str) -> bool:
        """Whether the headers of a proxy at ``address`` count."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)

    def peer(self, request: Request) -> Peer:
        """Where ``request`` comes from. Raises Problem if a trusted proxy names several users."""
        address = request.client.host if request.client else ""
        secure = request.url.scheme == "https"
        headers = request.headers
        forwarded = any(name.startswith("x-forwarded-") or name in ("forwarded", "via") for name in headers)
        if not self.trusts(address):
            return Peer(address, secure, forwarded=forwarded)
        users = headers.getlist("x-forwarded-user")
        if len(users) > 1:
            raise Problem(HTTPStatus.BAD_REQUEST, "X-Forwarded-User is given more than once.")
        protocol = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        user = _as_utf_8(users[0]).strip() if users else ""
        hops = [hop.strip() for one in headers.getlist("x-forwarded-for") for hop in one.split(",") if hop.strip()]
        return Peer(self._client(address, hops), secure or protocol == "https", user or None, forwarded=True)

    def _client(self, address: str, hops: list[str]) -> str:
        """The last hop that no trusted proxy is: those before it may be invented."""
        for hop in reversed(hops):
            if not self.trusts(address):
                break
            try:
                address = str(ip_address(hop))
            except ValueError:
                break
        return address


def _as_utf_8(value: str) -> str:
    """Headers are bytes; proxies write names in UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
