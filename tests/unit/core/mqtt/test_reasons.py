"""What is read of a broker's CONNACK, DISCONNECT and AUTH, whatever it sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from fmq.mqtt.reasons import NOTHING, Said, explain_reason, read_said
from support.scripted_broker import CONNACK, DISCONNECT, length, text, user_property

_AUTH = 0xF0
_NUMBERS = b"\x24\x01\x21\x00\x0a\x11\x00\x00\x0e\x10\x12" + text("assigned") + b"\x16" + text(b"\x00\xff")


def _packet(first: int, properties: bytes) -> bytes:
    return b"\0" * (2 if first == CONNACK else 1) + length(len(properties)) + properties


@pytest.mark.parametrize("first", [CONNACK, DISCONNECT, _AUTH])
def test_texts_are_found_among_other_properties(first: int) -> None:
    """In any order, behind numbers, binary data and the user's properties."""
    many = user_property("a", "b" * 300) * 50
    properties = _NUMBERS + b"\x1f" + text("full") + many + b"\x1c" + text("b:1") + b"\x15" + text("M")
    assert read_said(first, _packet(first, properties)) == Said("full", "b:1", "M", asks=first == _AUTH)


def test_text_is_made_harmless() -> None:
    """No control characters, no endless lines; what is not UTF-8 is marked, and U+FEFF is text."""
    assert read_said(CONNACK, _packet(CONNACK, b"\x1f" + text("a\x1b[2J\n\ufeffb"))).reason == r"a\x1b[2J\n\ufeffb"
    assert read_said(CONNACK, _packet(CONNACK, b"\x1f" + text(b"a\xff"))).reason == "a\ufffd"
    assert read_said(CONNACK, _packet(CONNACK, b"\x1f" + text("x" * 1000))).reason == "x" * 200 + "…"


def test_thousands_of_user_properties_end_the_search() -> None:
    """They cost no time; a text in front of them is kept."""
    properties = b"\x1f" + text("first") + user_property("a", "b") * 10_000 + b"\x1c" + text("late")
    assert read_said(CONNACK, _packet(CONNACK, properties)) == Said("first")


@given(st.sampled_from([CONNACK, DISCONNECT, _AUTH]), st.binary(max_size=60))
def test_any_bytes_are_survived(first: int, body: bytes) -> None:
    """Damaged packets say nothing, or a part."""
    assert read_said(first, body).asks == (first == _AUTH)


def test_a_packet_of_another_kind_says_nothing() -> None:
    """Nor does an empty one."""
    assert read_said(0x90, b"\0\0\0") == NOTHING
    assert read_said(DISCONNECT, b"") == NOTHING


def test_a_reason_that_repeats_the_name_is_said_once() -> None:
    """Some brokers send the name of the reason code as its text."""
    reason = ReasonCode(PacketTypes.CONNACK, "Not authorized")
    assert explain_reason(reason, Said("Not authorized"), setting="X") == "Not authorized"
    assert explain_reason(reason, Said("no policy"), setting="X") == "Not authorized (no policy)"
