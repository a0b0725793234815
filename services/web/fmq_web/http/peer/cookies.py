"""The cookie that holds a session's id."""

from starlette.requests import Request

from fmq_web.http.peer.proxies import Peer


def _name(request: Request, peer: Peer) -> str:
    """Cookies are the same for all ports of a host, so the port is in the name: two pages on one host don't disturb each other.

    A browser takes ``__Host-`` only over TLS and from this host alone (RFC 6265bis, section 4.1.3.2).
    """
    port = (request.scope.get("server") or ("", 0))[1]
    return f"__Host-fmq-{port}" if peer.secure else f"fmq-{port}"


def session_ids(request: Request, peer: Peer) -> list[str]:
    """The ids in the request's cookie. A stranger may have set another cookie of this name, so all count."""
    wanted = _name(request, peer)
    pairs = (part.partition("=") for one in request.headers.getlist("cookie") for part in one.split(";"))
    return [value.strip() for name, _, value in pairs if name.strip() == wanted]


def set_cookie(request: Request, peer: Peer, secret: str) -> str:
    """The Set-Cookie header for a session's id; an empty one deletes the cookie."""
    secure = "; Secure" if peer.secure else ""
    end = "" if secret else "; Max-Age=0"
    return f"{_name(request, peer)}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}{end}"
