"""Shows text that anyone may have sent: what a reader could not see, or what would change the rest, as a marked escape."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_NAMED = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
# Letters and marks to Unicode, but nothing that can be seen: fillers, joiners and variation selectors.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_SEEN = re.compile(f"[{_INVISIBLE}]")
_LONGEST_CHARACTER = 4


class Part(NamedTuple):
    """A piece of a text. An escape stands for one character that is not shown as it is."""

    text: str
    is_escape: bool


def parts(text: str, *, lines: bool = False) -> Sequence[Part]:
    r"""``text`` in pieces, with no two neighbours of a kind but escapes. ``lines`` keeps line feeds and tabs as they are.

    Escapes are those of JSON and Python: ``\n``, ``\x1b``, ``\u202e``, ``\U000e0001``. A backslash of the text itself is not
    marked, so nothing in the text can pass for an escape.
    """
    if _is_plain(text):
        return [Part(text, is_escape=False)] if text else []
    found: list[Part] = []
    plain: list[str] = []
    for one in text:
        if _is_plain(one) or (lines and one in "\n\t"):
            plain.append(one)
            continue
        if plain:
            found.append(Part("".join(plain), is_escape=False))
            plain = []
        found.append(Part(escape(one), is_escape=True))
    if plain:
        found.append(Part("".join(plain), is_escape=False))
    return found


def flat(text: str, *, lines: bool = False) -> str:
    """The same as one string. It can always be encoded, and has no character that moves or hides others."""
    return text if _is_plain(text) else "".join(part.text for part in parts(text, lines=lines))


def escape(one: str) -> str:
    """The escape of one character."""
    code = ord(one)
    if one in _NAMED:
        return _NAMED[one]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_plain(text: str) -> bool:
    """Whether all of ``text`` can be seen. Not so: control and format characters (bidi, zero-width), surrogates, odd spaces."""
    return text.isprintable() and not _SEEN.search(text)


def decode(data: bytes, *, starts: bool, ends: bool) -> tuple[str, int] | None:
    """The text in a part of a payload, and how many bytes at its start belong to the character before it.

    ``starts`` and ``ends``: it has the payload's first and last byte. A character that its edge has cut off is left out. None if
    it is not UTF-8. See ``left_out`` for the bytes at its end.
    """
    skipped = 0
    if not starts:
        while skipped < min(len(data), _LONGEST_CHARACTER - 1) and data[skipped] & 0xC0 == 0x80:
            skipped += 1
    end = len(data) if ends else len(data) - left_out(data)
    if end < skipped:
        return None
    try:
        return data[skipped:end].decode(), skipped
    except UnicodeDecodeError:
        return None


def left_out(data: bytes) -> int:
    """How many bytes at the end of ``data`` are the beginning of a character whose rest is missing."""
    for back in range(1, min(len(data), _LONGEST_CHARACTER - 1) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
        return back if length > back else 0
    return 0
