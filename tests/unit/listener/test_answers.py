"""What is left for paho of a broker's answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fmq_listener.answers import numbers_only
from support.scripted_broker import CONNACK, DISCONNECT, SUBACK, length, text, user_property

_NUMBERS = b"\x11\0\0\0\x09" + b"\x21\0\x14" + b"\x27\0\x03\0\0" + b"\x2a\0" + b"\x29\1"
_TEXTS = b"\x1f" + text("\ufeff\0") + user_property("\ud800", "") * 3 + b"\x12" + text("id") + b"\x16" + text(b"\xff")


def body(section: bytes, *, before: int, behind: bytes = b"") -> bytes:
    return bytes(before) + length(len(section)) + section + behind


@pytest.mark.parametrize(
    ("first", "before", "behind"), [(CONNACK, 2, b""), (SUBACK, 2, b"\1\x80"), (DISCONNECT, 1, b"")]
)
def test_numbers_stay_and_texts_go(first: int, before: int, behind: bytes) -> None:
    """Wherever they stand; what paho refuses among the numbers goes too."""
    wanted = body(_NUMBERS, before=before, behind=behind)
    mixed = b"\x27\xff\xff\xff\xff\x21\0\0" + _TEXTS + _NUMBERS[:5] + _TEXTS + _NUMBERS[5:] + _TEXTS + _NUMBERS
    assert numbers_only(first, body(mixed, before=before, behind=behind)) == wanted


@given(st.binary(max_size=60), st.booleans())
def test_whatever_a_section_holds_paho_can_read_what_is_left(section: bytes, well_formed: bool) -> None:  # noqa: FBT001 - hypothesis
    """A CONNACK whose properties end where their length says never ends the connection."""
    section = (_TEXTS if well_formed else b"") + section
    left = numbers_only(CONNACK, body(section, before=2))
    Properties(PacketTypes.CONNACK).unpack(left[2:])  # type: ignore[no-untyped-call]
