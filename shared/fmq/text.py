"""Text from elsewhere, made fit to be shown: nothing that a terminal or a log's reader acts on, and no secrets."""

import re
from functools import partial

without_password = partial(re.compile(r"""^(['"]?(?:[\w.+-]*:/{1,2})?[^:@]*):.*@""", re.DOTALL).sub, r"\1:(hidden)@")
"""A URL without its password, whatever characters that has. Also what was meant for a URL: no scheme, a slash or a colon too few or too many."""


def plain(text: str) -> str:
    """``text`` in one line, with everything escaped that is not printable: control characters, line ends, bidi overrides.

    As Python's ``repr`` writes them.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def plain_lines(text: str) -> str:
    """The same, but line feeds stay: for texts of fmq's own that have several lines."""
    return "\n".join(plain(line) for line in text.split("\n"))


def only_origin(url: str) -> str:
    """A URL whose path, query or user may be secret: scheme, host and port. In quotes if ``url`` is."""
    quote = url[0] if url[:1] in ("'", '"') else ""
    scheme, slashes, rest = url.strip(quote or None).partition("://")
    if not slashes:
        scheme, rest = "", scheme
    authority, behind = re.match("([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in behind and "@" not in authority:  # a password with a slash, or an @ in the path: nobody can tell
        authority = "(hidden)"
    return f"{quote}{scheme}{slashes}{authority.rpartition('@')[2]}{'/(hidden)' if behind else ''}{quote}"
