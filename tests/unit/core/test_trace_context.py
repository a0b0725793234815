"""The publisher's trace context, as MQTT 5 user properties carry it."""

import pytest

from fmq.message import Message, Properties

_GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _message(*user_properties: tuple[str, str]) -> Message:
    return Message(1, "q", "t", b"", 0.0, properties=Properties(user_properties=user_properties))


def test_it_can_be_sent_on_as_headers() -> None:
    """Both fields as they were given; other user properties are none of it."""
    message = _message(("a", "b"), ("traceparent", _GIVEN), ("tracestate", "vendor=1,other=2"))
    assert message.trace == {"traceparent": _GIVEN, "tracestate": "vendor=1,other=2"}
    assert _message(("traceparent", _GIVEN)).trace == {"traceparent": _GIVEN}


def test_without_one_it_is_empty() -> None:
    """Also if only the state is there, which means nothing alone."""
    assert _message().trace == {}
    assert Message(1, "q", "t", b"", 0.0).trace == {}
    assert _message(("tracestate", "vendor=1")).trace == {}


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        _GIVEN.upper(),
        _GIVEN + "-more",
        _GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        _GIVEN.replace("00f067aa0ba902b7", "0" * 16),
        "ff" + _GIVEN[2:],
        _GIVEN + "\n",
    ],
)
def test_what_is_no_context_is_not_sent_on(given: str) -> None:
    """Wrong lengths, letters and ids (W3C Trace Context, section 3.2.2): nobody could do anything with it."""
    assert _message(("traceparent", given), ("tracestate", "vendor=1")).trace == {}
