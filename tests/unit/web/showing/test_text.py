"""Text that anyone may have sent is shown whole, and can't pass for anything else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq_web.showing.text import decode, escape, flat, left_out, parts

_ANY_TEXT = st.text(st.characters(categories=None))
_LONGEST = 4


@given(text=_ANY_TEXT, lines=st.booleans())
def test_nothing_hides(text: str, *, lines: bool) -> None:
    """The flat text can be encoded and has no character that can't be seen; line feeds and tabs only if they are wanted."""
    shown = flat(text, lines=lines)
    shown.encode()
    rest = shown.replace("\n", "").replace("\t", "") if lines else shown
    assert rest.isprintable()
    assert not {unicodedata.category(one) for one in rest} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(text=_ANY_TEXT, lines=st.booleans())
def test_nothing_is_lost(text: str, *, lines: bool) -> None:
    """The text can be read back: escapes as the characters that they stand for, everything else unchanged."""
    back = "".join(
        part.text.encode("ascii").decode("unicode_escape") if part.is_escape else part.text
        for part in parts(text, lines=lines)
    )
    assert back == text


@pytest.mark.parametrize(
    "one",
    [
        *("\x00", "\x1b", "\x7f", "\x85", "\xa0", "\xad"),
        *("\u200b", "\u200d", "\u202e", "\u2066", "\u2028", "\u3000", "\ufeff"),
        *("\u115f", "\u3164", "\u034f", "\ufe0f", "\u2800", "\ud800", "\U000e0041", "\U000e0100"),
    ],
)
def test_what_is_escaped(one: str) -> None:
    """Control, bidi, zero-width and filling characters, spaces other than the usual one, and surrogates."""
    assert flat(f"a{one}b") == f"a{escape(one)}b"


def test_an_escape_in_the_text_is_not_marked() -> None:
    r"""Six characters that look like ``\u202e`` are text."""
    assert [part.is_escape for part in parts("\\u202e")] == [False]
    assert [tuple(part) for part in parts("a\u202eb\\u202e")] == [
        ("a", False),
        ("\\u202e", True),
        ("b\\u202e", False),
    ]


@given(text=st.text(min_size=1), data=st.data())
def test_an_edge_within_a_character(text: str, data: st.DataObject) -> None:
    """Any part of UTF-8 is text, wherever it was cut; what is left out is less than a character at each end."""
    whole = text.encode()
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole)))
    part = whole[first:last]
    found = decode(part, starts=first == 0, ends=last == len(whole))
    if found is None:
        assert len(part) < _LONGEST
        return
    shown, skipped = found
    assert skipped < _LONGEST
    assert shown.encode() == part[skipped : len(part) if last == len(whole) else len(part) - left_out(part)]


@given(text=st.text(), junk=st.sampled_from([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8"]), more=st.text(min_size=1))
def test_what_is_not_utf_8(text: str, junk: bytes, more: str) -> None:
    """Wrong bytes in the middle are never taken for a cut."""
    assert decode(text.encode() + junk + more.encode(), starts=True, ends=True) is None
    assert decode(text.encode() + junk + b"more", starts=True, ends=False) is None


def test_a_cut_at_the_end_of_the_payload() -> None:
    """At the payload's own edges nothing is left out: half a character there is not UTF-8."""
    half = "é".encode()[:1]
    assert decode(b"caf" + half, starts=True, ends=True) is None
    assert decode(b"caf" + half, starts=True, ends=False) == ("caf", 0)
