"""Events, read by the package of the CloudEvents project."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from fmq.message import NO_PROPERTIES, Message, Properties
from fmq_processor.handlers.webhook.cloudevents import Events
from fmq_processor.handlers.webhook.envelope import Envelope
from support.webhook import message

UNIQUE = UUID(int=7)
EVENTS = Events(event_type="com.example.reading", source="urn:uuid:1")
BOTH = pytest.mark.parametrize("form", [EVENTS.binary, EVENTS.structured], ids=["binary", "structured"])


def read(envelope: Envelope) -> BaseCloudEvent:
    return from_http_event(HTTPMessage(envelope.headers, envelope.body))


@BOTH
def test_its_attributes(form: Any) -> None:  # noqa: ANN401 - either of two methods
    """Those that are needed, the topic as the subject and the time of receipt."""
    event = read(form(message(b"21.5", topic='sensors/ä "1" 100%/temp'), UNIQUE))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(UNIQUE)
    assert (event.get_source(), event.get_type()) == ("urn:uuid:1", "com.example.reading")
    assert event.get_subject() == 'sensors/ä "1" 100%/temp'
    assert event.get_time() == datetime(2025, 11, 24, 16, 0, 0, 250_000, tzinfo=UTC)


@BOTH
@pytest.mark.parametrize(
    ("payload", "content_type", "read_type", "data"),
    [
        (b'{"t": 21.5}', None, "application/json", {"t": 21.5}),
        (b'{"t": 21.5}', "application/vnd.example+json", "application/vnd.example+json", {"t": 21.5}),
        (b"21.5", None, "application/json", 21.5),
        (b"null", "application/json; charset=utf-8", "application/json; charset=utf-8", None),
        (b"warm", None, "text/plain; charset=utf-8", "warm"),
        (b"21.5", "text/plain", "text/plain", "21.5"),
        ("wärm".encode(), "text/csv", "text/csv", "wärm"),
        (b"NaN", None, "text/plain; charset=utf-8", "NaN"),
        (b"\x00\xff", None, "application/octet-stream", b"\x00\xff"),
        (b"\xff", "text/plain", "text/plain", b"\xff"),
    ],
)
def test_its_data(form: Any, payload: bytes, content_type: str | None, read_type: str, data: object) -> None:  # noqa: ANN401 - as above
    """JSON as JSON, text as text, anything else as bytes, and its type told."""
    properties = NO_PROPERTIES if content_type is None else Properties(content_type=content_type)
    event = read(form(message(payload, properties=properties), UNIQUE))
    assert event.get_datacontenttype() == read_type
    got = event.get_data()
    if form == EVENTS.binary and isinstance(got, bytes) and isinstance(data, str):
        got = got.decode()  # the reference reads text of some types as bytes
    assert got == data


def test_json_that_is_none_is_sent_as_bytes() -> None:
    """What says that it is JSON and is not would break the event."""
    body = EVENTS.structured(message(b"{oops", properties=Properties(content_type="application/json")), UNIQUE).body
    assert json.loads(body)["data_base64"] == "e29vcHM="


def test_numbers_are_not_changed() -> None:
    """JSON stands in the event letter by letter: no float in between, no member lost."""
    payload = b'{"n": 1.10000000000000000001, "n": 2E400, "id": 123456789012345678901234567890}'
    assert payload in EVENTS.structured(message(payload), UNIQUE).body


@given(st.binary(), st.text(min_size=1))
def test_any_message_is_an_event(payload: bytes, topic: str) -> None:
    """In both modes, and the payload comes out as it went in."""
    one = message(payload, topic=topic)
    assert EVENTS.binary(one, UNIQUE).body == payload
    event = json.loads(EVENTS.structured(one, UNIQUE).body)
    assert event["subject"] == topic
    assert ("data" in event) != ("data_base64" in event)


EVENT = (("specversion", "1.0"), ("id", "7"), ("source", "/plant"), ("type", "com.example.alarm"), ("level", "3"))


@BOTH
def test_a_message_that_is_an_event_stays_that_event(form: Any) -> None:  # noqa: ANN401 - as above
    """By the MQTT 5 binding: its attributes are the user properties, in binary mode."""
    event = read(form(_event_message(*EVENT), UNIQUE))
    assert (event.get_id(), event.get_source(), event.get_type()) == ("7", "/plant", "com.example.alarm")
    assert event.get_extension("level") == "3"
    assert json.dumps(event.get_data()) == "21.5"
    missing = read(form(_event_message(*EVENT[:3]), UNIQUE))
    assert missing.get_id() == str(UNIQUE)


@BOTH
def test_a_message_that_is_a_structured_event_goes_on_as_it_is(form: Any) -> None:  # noqa: ANN401 - as above
    """Its content type says so."""
    payload = b'{"specversion":"1.0","id":"7","source":"/plant","type":"x","data":1}'
    properties = Properties(content_type="application/cloudevents+json; charset=utf-8")
    envelope = form(message(payload, properties=properties), UNIQUE)
    assert envelope == Envelope(payload, {"content-type": "application/cloudevents+json; charset=utf-8"})
    assert read(envelope).get_id() == "7"


def _event_message(*user: tuple[str, str]) -> Message:
    return message(b"21.5", properties=Properties(content_type="application/json", user_properties=user))
