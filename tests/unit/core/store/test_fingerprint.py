"""What reasons have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.store.fingerprint import fingerprint

_HOLE = fingerprint("1")


@pytest.mark.parametrize(
    ("reasons", "same"),
    [
        (("timed out after 30 s", "timed out after 1.5 s"), "timed out after # s"),
        (("no column 'a b'", 'no column "it\'s"', "no column `x`"), "no column #"),
        (
            ("job 7f3c9d01-11aa-4b2b-8c3d-0123456789ab failed", "job 00000000-0000-0000-0000-000000000000 failed"),
            "job # failed",
        ),
        (("at 0x7fA0", "at 0x1"), "at #"),
        (("commit 3f2a9c1b", "commit 12345678"), "commit #"),
        (("KeyError: 'x'\n  at f (a.py:3)", "KeyError: 'y'\n  at g (b.py:9)"), "KeyError: #"),
        (("10.0.0.1:80 refused", "192.168.1.77:8080 refused"), "# refused"),
        (("", "\n", "  "), ""),
    ],
)
def test_one_group(reasons: tuple[str, ...], same: str) -> None:
    """Numbers, UUIDs, hexadecimal numbers and quoted text differ; the rest of the first line decides."""
    assert {fingerprint(reason) for reason in reasons} == {same.replace("#", _HOLE)}


@pytest.mark.parametrize(
    ("one", "other"), [("timeout", "refused"), ("facade", "decade"), ("KeyError: 'x'", "ValueError: 'x'")]
)
def test_two_groups(one: str, other: str) -> None:
    """Words make the difference, also those that consist of hexadecimal digits."""
    assert fingerprint(one) != fingerprint(other)


def test_long_reasons() -> None:
    """It has a bound, and takes no longer for text that almost fits its patterns."""
    assert len(fingerprint("x" * 10_000)) == 200
    assert len(fingerprint('"' * 10_000 + "'a" * 10_000 + "0x" * 10_000)) <= 200


@given(st.text(alphabet="ab1 '\"`\\\n-x0f.:" + _HOLE, max_size=900))
def test_a_group_is_its_own_reason(reason: str) -> None:
    """So an operator may give a group as it is printed, or any reason in it."""
    assert fingerprint(fingerprint(reason)) == fingerprint(reason)
