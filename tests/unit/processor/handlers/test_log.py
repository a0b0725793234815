"""The handler that is there without any code."""

import logging

import pytest

from fmq.message import Message
from fmq_processor.handlers.log import describe, handle


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"", "0 bytes"),
        ('{"ä": 1}'.encode(), '{"ä": 1}'),
        (b"two\nlines\t", "two\nlines\t"),
        (b"\x00\x01", "2 bytes"),
        (b"\xff\xfe", "2 bytes"),
        (b"x" * 300, "x" * 200 + "… (300 bytes)"),
        (b"\xff" * 2000, "2000 bytes"),
        (("ä" * 1000).encode(), "ä" * 200 + "… (2000 bytes)"),
        (b"a" + "ä".encode() * 1000, "a" + "ä" * 199 + "… (2001 bytes)"),
    ],
)
def test_payloads_are_shown_as_text_or_by_size(payload: bytes, shown: str) -> None:
    """Short, whatever is in them; a character cut in half by the shortening does not make it binary."""
    assert describe(payload) == shown


def test_a_line_a_message(caplog: pytest.LogCaptureFixture) -> None:
    """With its id and queue as fields, and the topic shortened."""
    caplog.set_level(logging.INFO)
    handle(Message(7, "sensors/#", "sensors/" + "x" * 60_000, b"21.5", 0.0))
    (record,) = caplog.records
    assert (record.__dict__["queue"], record.__dict__["message_id"]) == ("sensors/#", 7)
    assert record.getMessage().endswith(": 21.5")
    assert len(record.getMessage()) < 400
