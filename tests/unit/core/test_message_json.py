"""A message as JSON."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from fmq.message import DeadLetter, Message, Properties
from fmq.message_json import JSON_BEGINS, letter_fields, message_fields, message_json

_texts = st.text(st.characters(codec=None), max_size=20)  # lone surrogates and NUL too
_properties = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    content_type=st.none() | _texts,
    correlation_data=st.none() | st.binary(max_size=8),
    user_properties=st.lists(st.tuples(_texts, _texts), max_size=2).map(tuple),
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
    """Beside what its message has."""
    message = Message(1, "q", "q", b"x", 0.0)
    assert letter_fields(DeadLetter(message, 7.0, "why")) == message_fields(message) | {"reason": "why", "dead_at": 7.0}
