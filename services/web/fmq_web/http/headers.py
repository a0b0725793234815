"""The headers of every answer."""

from starlette.datastructures import MutableHeaders

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
ALWAYS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""An answer that has one of these itself keeps its own: hashed assets are cached, downloads have a stricter policy."""


def add_headers(headers: MutableHeaders) -> None:
    """Add what is missing."""
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
