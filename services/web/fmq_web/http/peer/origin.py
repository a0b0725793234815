"""Refuses requests that another site made a browser send (CSRF), as Go 1.25's http.CrossOriginProtection does.

No tokens in forms: every browser of today says in Sec-Fetch-Site where a request comes from, but only to hosts with HTTPS or on
loopback. To others it still sends Origin with every POST. A request with neither header is not from a browser.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def is_cross_origin(method: str, headers: Headers) -> bool:
    """Whether a request with an unsafe method comes from another origin."""
    if method in SAFE_METHODS:
        return False
    site = _only(headers, "sec-fetch-site")
    if site:
        return site not in ("same-origin", "none")
    origin = _only(headers, "origin")
    return bool(origin) and not _same_host(origin, headers.get("host", ""))


def is_foreign_read(headers: Headers) -> bool:
    """Whether another site made a browser read something, other than by a link that a person followed."""
    return _is_foreign(headers) and headers.get("sec-fetch-mode") != "navigate"


def comes_by_link(headers: Headers) -> bool:
    """Whether a person followed a link on another site."""
    return _is_foreign(headers) and headers.get("sec-fetch-mode") == "navigate"


def _is_foreign(headers: Headers) -> bool:
    return _only(headers, "sec-fetch-site") not in ("", "same-origin", "none")


def _only(headers: Headers, name: str) -> str:
    """The header's value. Several are joined, and then equal nothing that is allowed."""
    return ", ".join(headers.getlist(name))


def _same_host(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False
