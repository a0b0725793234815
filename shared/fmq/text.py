"""Makes text from outside safe to show: without control characters and without secrets."""

import json
import re

_ONLY_A_USER = re.compile(r"""['"]?[\w.+-]+://[^:@/?#]*@[^@]*""", re.DOTALL)
_PASSWORD = re.compile(r"""^(['"]?(?:[\w.+-]*:/{1,2})?[^:@]*):.*@""", re.DOTALL)
_LONGEST_WORD = 300
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")
_QUERY = re.compile(r"""^(['"]?(?:mqtts?|wss?):/[^?#]*\?)[^'"]+""", re.IGNORECASE)
_USER_QUERY = re.compile(r"(%3f)[^@:/?#]+(?=[@:])", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&#'\"]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """A URL without its password, whatever characters that has. Also for malformed URLs.

    The query of a broker's URL is as good as a password, also where it is not allowed, and so is one at the end of a user name.
    """
    if not _ONLY_A_USER.fullmatch(url):
        url = _PASSWORD.sub(r"\1:(hidden)@", url)
    url = _USER_QUERY.sub(r"\1(hidden)", _QUERY.sub(r"\1(hidden)", url))
    return _PARAMETER.sub(r"\1(hidden)", url)


def without_query(text: str) -> str:
    """``text`` up to a question mark: what follows may be secret. In quotes if ``text`` is."""
    shown, mark, hidden = text.partition("?")
    quote = text[0] if text[:1] in ("'", '"') else ""
    return f"{shown}?(hidden){quote}" if mark and hidden.strip(quote or None) else text


def plain(text: str) -> str:
    """``text`` in one line. Escapes everything that is not printable as ``repr`` does: control characters, line ends, bidi overrides."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def plain_lines(text: str) -> str:
    """The same, but keeps line feeds, for fmq's own texts of several lines."""
    return "\n".join(plain(line) for line in text.split("\n"))


def without_long_words(text: str) -> str:
    """``text`` with what has more than 300 characters without a space shortened: values in errors may have any length."""
    return _LONG_WORD.sub(lambda found: f"{found[0][:_LONGEST_WORD]}… ({len(found[0]):,} characters)", text)


def printable_json(text: str) -> str:
    """JSON with the same meaning, in which every character that is not printable is escaped as JSON escapes it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def only_origin(url: str) -> str:
    """Scheme, host and port of a URL whose path, query or user may be secret. In quotes if ``url`` is."""
    quote = url[0] if url[:1] in ("'", '"') else ""
    scheme, slashes, rest = url.strip(quote or None).partition("://")
    if not slashes:
        scheme, rest = "", scheme
    authority, behind = re.match("([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in behind and "@" not in authority:  # a password with a slash, or an @ in the path: ambiguous
        authority = "(hidden)"
    return f"{quote}{scheme}{slashes}{authority.rpartition('@')[2]}{'/(hidden)' if behind else ''}{quote}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 message``, ``2,310 messages``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
