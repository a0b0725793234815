"""What messages ask for: keys and delays."""

import logging

import pytest

from fmq.message import Incoming, Properties, Terms
from fmq_listener.asking import Asking, key_of


def message(payload: bytes = b"", *user: tuple[str, str]) -> Incoming:
    return Incoming("q", "t", payload, 1.0, properties=Properties(user_properties=user) if user else None)


def delayed(text: str) -> Incoming:
    return message(b"", ("fmq-delay", text))


@pytest.mark.parametrize(
    ("expression", "one", "key"),
    [
        ("user:id", message(b"", ("id", "7")), "7"),
        ("user:id", message(b"", ("other", "7")), None),
        ("user:id", message(), None),
        ("/id", message(b'{"id": 7}'), "7"),
        ("/id", message(b'{"id": "7"}'), '"7"'),
        ("/a/0/b", message(b'{"a": [{"b": "x"}]}'), '"x"'),
        ("/id", message(b'{"id": {"deep": 1}}'), None),
        ("/id", message(b'{"id": null}'), None),
        ("/id", message(b"[1, 2]"), None),
        ("/id", message(b"7"), None),
        ("/id", message(b"\xff no JSON"), None),
        ("/id", message(b"[" * 100_000), None),
    ],
)
def test_where_a_key_is(expression: str, one: Incoming, key: str | None) -> None:
    """A user property or a value in the payload, a number apart from its text; whatever has none has no key."""
    assert key_of(expression)(one) == key


@pytest.mark.parametrize("expression", ["", "id", "user:", "/a~2"])
def test_what_is_no_place_of_a_key(expression: str) -> None:
    """Any other expression is refused."""
    with pytest.raises(ValueError, match=r"neither user:NAME nor a JSON pointer|no JSON pointer"):
        key_of(expression)


def test_only_what_asks_has_terms() -> None:
    """By position; a delay is cut to the longest one, a key that is too long is none."""
    asking = Asking(key=key_of("user:id"), key_seconds=9, longest_delay=100)
    messages = [
        message(),
        delayed("1.5"),
        message(b"", ("id", "a")),
        delayed("1000"),
        delayed("0"),
        message(b"", ("id", "x" * 1_001)),
    ]
    assert asking.terms(messages) == {
        1: Terms(None, 9, 1.5),
        2: Terms("a", 9, 0.0),
        3: Terms(None, 9, 100),
    }


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", ""])
def test_a_delay_that_is_none(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The message is stored without, and it is told once a batch with the topic."""
    asking = Asking(key=None, key_seconds=0, longest_delay=100)
    with caplog.at_level(logging.WARNING):
        assert asking.terms([delayed(text)] * 3) == {}
    (record,) = caplog.records
    assert (
        record.getMessage() == f"3 messages ask for a delay that is none, and are stored without: fmq-delay={text} on t"
    )


def test_delays_may_be_off() -> None:
    """With a longest delay of 0 the property means nothing."""
    assert Asking(key=None, key_seconds=0, longest_delay=0).terms([delayed("5")]) == {}
