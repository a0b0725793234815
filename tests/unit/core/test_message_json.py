"""A message as JSON."""

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.message import NO_PROPERTIES, DeadLetter, Incoming, Message, Properties
from fmq.message_json import JSON_BEGINS, letter_fields, message_fields, message_json, read_message_json

_texts = st.text(st.characters(codec=None), max_size=20)  # lone surrogates and NUL too
_properties = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    content_type=st.none() | _texts,
    correlation_data=st.none() | st.binary(max_size=8),
    user_properties=st.lists(st.tuples(_texts, _texts), max_size=2).map(tuple),
    raw=st.none() | st.binary(max_size=8),
)


@given(
    st.builds(
        Message, st.integers(0), _texts, _texts, st.binary(max_size=40), st.floats(0, 4e9), properties=_properties
    )
)
def test_a_message_is_one_line_of_ascii_that_gives_it_back(message: Message) -> None:
    """Whatever is in its payload, topic and properties; the bytes are those of the text, or in base64."""
    line = message_json(message)
    assert line.isascii()
    assert line.splitlines() == [line]
    assert line.startswith(JSON_BEGINS)
    fields = json.loads(line)
    payload = fields["payload"]
    assert message.payload == (base64.b64decode(fields["payload_base64"]) if payload is None else payload.encode())
    assert (fields["queue"], fields["topic"], fields["received_at"]) == (
        message.queue,
        message.topic,
        message.received_at,
    )
    users = fields["properties"].get("user_properties", [])
    assert [tuple(pair) for pair in users] == list(message.properties.user_properties)


_messages = st.builds(
    Message,
    st.integers(0),
    _texts,
    _texts,
    st.binary(max_size=40) | st.text(max_size=40).map(str.encode),
    st.floats(0, 4e9) | st.integers(0, 4_000_000_000),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 20),
    _properties | st.just(NO_PROPERTIES),
)


@given(_messages)
def test_it_is_what_an_encoder_of_json_makes_of_the_fields(message: Message) -> None:
    """Byte for byte: the line is written part by part only because that is faster."""
    assert message_json(message) == json.dumps(message_fields(message), separators=(",", ":"))


@given(
    st.builds(
        Message,
        st.integers(0),
        _texts,
        _texts,
        st.binary(max_size=40),
        st.floats(0, 4e9),
        qos=st.integers(0, 2),
        retain=st.booleans(),
        properties=_properties,
    )
)
def test_reading_it_back(message: Message) -> None:
    """Everything that is kept of a message but its id and its attempts."""
    found = read_message_json(message_json(message))
    assert found == Incoming(
        message.queue,
        message.topic,
        message.payload,
        message.received_at,
        message.qos,
        message.retain,
        None if message.properties == Properties() else message.properties,
    )


_RIGHT = {"queue": "q", "topic": "t", "received_at": 1.5, "qos": 1, "retain": False, "payload": "x", "properties": {}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"topic": None}, "topic is missing"),
        ({"queue": 7}, "queue is 7"),
        ({"received_at": "noon"}, "received_at is 'noon'"),
        ({"received_at": float("nan")}, "received_at is nan"),
        ({"received_at": 1764367200000}, "received_at is 1764367200000 (milliseconds?)"),
        ({"received_at": -1}, "received_at is -1"),
        ({"received_at": 10**400}, "received_at is 1000"),
        ({"payload": "\ud800"}, "payload is text that UTF-8 can't encode"),
        ({"properties": {"message_expiry_interval": -1}}, "message_expiry_interval is -1"),
        ({"properties": {"payload_format_indicator": 2}}, "payload_format_indicator is 2"),
        ({"qos": 3, "topic": 7}, "topic is 7, which has the wrong type; qos is 3"),
        ({"qos": 3}, "qos is 3"),
        ({"qos": True}, "qos is True"),
        ({"retain": 1}, "retain is 1"),
        ({"payload": None}, "payload_base64 is missing"),
        ({"payload": None, "payload_base64": "?"}, "not base64"),
        ({"payload": None, "payload_base64": "é"}, "payload_base64 is not base64"),
        ({"payload": {"a": 1}}, "payload is"),
        ({"properties": {"colour": "red"}}, "colour: not an MQTT 5 property"),
        ({"properties": {"content_type": 7}}, "content_type is 7"),
        ({"properties": {"correlation_data": "?"}}, "correlation_data is not base64"),
        ({"properties": {"user_properties": [["a"]]}}, "user_properties"),
        ({"properties": []}, "properties is"),
    ],
)
def test_what_is_no_message(changed: dict[str, object], told: str) -> None:
    """The field and what is wrong with it."""
    with pytest.raises(ValueError, match=re.escape(told)):
        read_message_json(json.dumps(_RIGHT | changed))


@pytest.mark.parametrize(
    "members", ['"topic": "t", "topic": "u"', '"properties": {"content_type": "a", "content_type": "b"}']
)
def test_a_member_that_is_given_twice(members: str) -> None:
    """Nobody knows which of its values is meant."""
    name = members.partition('": "')[0].rpartition('"')[2]
    line = json.dumps({key: value for key, value in _RIGHT.items() if f'"{key}"' not in members})
    with pytest.raises(ValueError, match=f"given more than once: {name}"):
        read_message_json(f"{line[:-1]}, {members}}}")


@pytest.mark.parametrize("line", [b"\x1f\x8b\x08\x00", b'{"topic": "\xe9"}'])
def test_what_is_no_text(line: bytes) -> None:
    """A compressed file, or one in Latin-1."""
    with pytest.raises(ValueError, match="it is not UTF-8 text"):
        read_message_json(line)


@pytest.mark.parametrize("line", ["", "7", "[]", "{", b"\xff", "[" * 100_000])
def test_what_is_no_json_object(line: str | bytes) -> None:
    """Told as an error of the value, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own words, of several kinds
        read_message_json(line)


def test_text_is_text_and_bytes_are_base64() -> None:
    """One of the two, and only properties that are set."""
    text = message_fields(Message(1, "a/#", "a/b", '{"ä": 1}'.encode(), 2.5, qos=0, retain=True, retry_count=3))
    assert text == {
        "id": 1,
        "queue": "a/#",
        "topic": "a/b",
        "received_at": 2.5,
        "retry_count": 3,
        "qos": 0,
        "retain": True,
        "properties": {},
        "payload": '{"ä": 1}',
    }
    binary = message_fields(Message(1, "q", "q", b"\x01\xff", 0.0, properties=Properties(correlation_data=b"\0")))
    assert (binary["payload"], binary["payload_base64"]) == (None, "Af8=")
    assert binary["properties"] == {"correlation_data": "AA=="}


def test_a_dead_letter_says_why() -> None:
    """In addition to what its message has."""
    message = Message(1, "q", "q", b"x", 0.0)
    assert letter_fields(DeadLetter(message, 7.0, "why")) == message_fields(message) | {"reason": "why", "dead_at": 7.0}
