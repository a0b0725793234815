"""JSON for people: indented, with each number and text exactly as the publisher wrote it.

Nothing is parsed into Python's values: 1e400, 0.1000 and 400 digits stay as they are, as do names that are given twice.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from fmq_web.showing.text import escape, flat

LONGEST = 1024 * 1024
DEEPEST = 64
MOST = 2_000

_SPACE = re.compile(r"[ \t\n\r]*+")
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+)"
    r"|(?P<word>true|false|null)"
    r"|(?P<open>[{\[])|(?P<close>[}\]])|(?P<comma>,)|(?P<colon>:)"
)
_CLOSES = {"{": "}", "[": "]"}
_INDENT = "  "

Kind = Literal["text", "number", "word", "open", "close", "empty"]


class Line(NamedTuple):
    """A line of indented JSON. ``key`` (with its quotes) and ``text`` are pieces of the payload, with escapes as in JSON.

    ``open`` and ``close`` are the brackets of a value that is not empty; ``size`` of ``open`` is its number of members.
    """

    depth: int
    key: str | None
    kind: Kind
    text: str
    comma: bool = False
    size: int = 0

    def __str__(self) -> str:
        name = "" if self.key is None else f"{self.key}: "
        return f"{_INDENT * self.depth}{name}{self.text}{',' if self.comma else ''}"


def json_lines(text: str) -> Sequence[Line] | None:
    """The lines of a JSON text. None if it is not JSON, or too large to be read as a tree (LONGEST, DEEPEST, MOST values)."""
    if len(text) > LONGEST:
        return None
    try:
        return _Reader(text).read()
    except _NoTree:
        return None


class _NoTree(Exception):
    """It can't be shown as a tree."""


class _Open(NamedTuple):
    bracket: str
    line: int


class _Reader:
    """Reads with a stack of its own: neither depth nor length of a payload costs Python's stack."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: list[Line] = []
        self._open: list[_Open] = []
        self._values = 0

    def read(self) -> list[Line]:
        self._value()
        while self._open:
            kind, token = self._next()
            if kind == "close":
                self._close(token)
            elif kind == "comma":
                self._lines[-1] = self._lines[-1]._replace(comma=True)
                self._value()
            else:
                raise _NoTree
        if self._at != len(self._text):
            raise _NoTree
        return self._lines

    def _value(self) -> None:
        """Read one value, and all that it opens, up to the first that is complete."""
        while True:
            kind, token = self._next()
            key = None
            if self._open and self._open[-1].bracket == "{":
                if kind != "text" or self._next()[0] != "colon":
                    raise _NoTree
                key = _shown(token)
                kind, token = self._next()
            if kind in ("text", "number", "word"):
                self._add(key, "text" if kind == "text" else "number" if kind == "number" else "word", _shown(token))
                return
            if kind != "open":
                raise _NoTree
            self._add(key, "open", token)
            self._open.append(_Open(token, len(self._lines) - 1))
            if len(self._open) > DEEPEST:
                raise _NoTree
            at = self._at
            kind, after = self._next()
            if kind == "close":
                self._close(after)
                return
            self._at = at

    def _add(self, key: str | None, kind: Kind, text: str) -> None:
        self._values += 1
        if self._values > MOST:
            raise _NoTree
        if self._open:
            holder = self._open[-1].line
            self._lines[holder] = self._lines[holder]._replace(size=self._lines[holder].size + 1)
        self._lines.append(Line(len(self._open), key, kind, text))

    def _close(self, bracket: str) -> None:
        opened = self._open.pop()
        if _CLOSES[opened.bracket] != bracket:
            raise _NoTree
        line = self._lines[opened.line]
        if line.size:
            self._lines.append(Line(line.depth, None, "close", bracket))
        else:
            self._lines[opened.line] = line._replace(kind="empty", text=line.text + bracket)

    def _next(self) -> tuple[str, str]:
        """Kind and text of the next token. ``_at`` is then after the white space that follows it."""
        at = self._at or self._after_space(0)
        found = _TOKEN.match(self._text, at)
        if found is None:
            raise _NoTree
        self._at = self._after_space(found.end())
        return str(found.lastgroup), found[0]

    def _after_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at


def _shown(token: str) -> str:
    """A token with JSON's own escapes for what can't be seen, so that it still says the same."""
    return token if flat(token) == token else "".join(one if flat(one) == one else _json_escape(one) for one in token)


def _json_escape(one: str) -> str:
    code = ord(one)
    if code >= 0x10000:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return escape(one) if code >= 0x100 else f"\\u{code:04x}"
