"""What is left for paho of a broker's answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq_listener.mqtt.packets.answers import numbers_only, one_code
from support.scripted_broker import CONNACK, DISCONNECT, SUBACK, UNSUBACK, length, text, user_property

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


@pytest.mark.parametrize(("first", "v5"), [(SUBACK, True), (SUBACK, False), (UNSUBACK, True)])
def test_paho_can_read_every_code_that_is_left(first: int, v5: bool) -> None:  # noqa: FBT001 - parametrized
    """Unknown and missing ones are Unspecified error (MQTT 5, sections 3.9.3 and 3.11.3); what follows the first one goes."""
    before = b"\0\7" + (b"\0" if v5 else b"")
    for code in (*range(256), None):
        left = one_code(first, before + (b"" if code is None else bytes([code]) + b"\1" * 1_000), v5=v5)
        assert left[:-1] == before
        ReasonCode(first >> 4, identifier=left[-1])
        assert left[-1] in (code, 0x80)
        assert left[-1] == code or code not in (0, 0x80, 0x83, 0x87, 0x8F, 0x91)


def test_an_unsuback_of_mqtt_3_1_1_confirms_nothing_in_mqtt_5() -> None:
    """Its reason code is missing; in 3.1.1 there is none (section 3.11)."""
    assert one_code(UNSUBACK, b"\0\7", v5=True) == b"\0\7\0\x80"
    assert one_code(UNSUBACK, b"\0\7", v5=False) == b"\0\7"
