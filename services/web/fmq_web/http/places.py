"""Paths of this page, to which a browser may be sent."""

from urllib.parse import quote, urlencode

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
_HARMLESS = "/?&=%#:@!$'()*+,;~-._[]"


def is_local(path: str) -> bool:
    """Whether ``path`` stays on this page. Browsers take a backslash for a slash and drop tabs and line ends."""
    return path.startswith("/") and not path.startswith("//") and path.isprintable() and not set(path) & {"\\", " "}


def local(path: str) -> str:
    """``path`` for a Location header if it stays on this page, else the first page."""
    return quote(path, safe=_HARMLESS) if is_local(path) else "/"


def sign_in_for(path: str) -> str:
    """The sign-in page, which leads on to ``path``."""
    return SIGN_IN if path == "/" else f"{SIGN_IN}?{urlencode({'next': path})}"
