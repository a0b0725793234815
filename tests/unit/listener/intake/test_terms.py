"""What messages ask for: keys and delays."""

import logging
from hashlib import sha256

import pytest

from fmq.message import Incoming, Properties, Terms
from fmq_listener.intake.terms import Asking
from fmq_listener.keys import LARGEST_PAYLOAD, key_of


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
        ("/id", message(b'{"id": NaN}'), None),
        ("/id", message(b'{"id": 1, "other": -Infinity}'), None),
        ("/id/0", message(b'{"id": "text"}'), None),
        ("/id/-", message(b'{"id": [1]}'), None),
        ("/id/1", message(b'{"id": [1]}'), None),
        ("/id/01", message(b'{"id": [1, 2]}'), None),
        ("/id/99999999999999999999", message(b'{"id": [1]}'), None),
        ("/id/0", message(b'{"id": {"0": true}}'), "true"),
        ("/id", message(b'{"id": 1, "id": 1}'), None),
        ("/id/a", message(b'{"id": {"a": 1}, "id": {"a": 2}}'), None),
        ("/id", message(b'{"id": 1, "other": 2, "other": 3}'), "1"),
        ("/id", message(b'{"id": {"id": 1, "id": 2}}'), None),
        ("/id", message(b'\xef\xbb\xbf{"id": 1}'), "1"),
        ("/id", message(b'{"id": "\\ud800"}'), '"\\ud800"'),
    ],
)
def test_where_a_key_is(expression: str, one: Incoming, key: str | None) -> None:
    """A user property or a value in the payload, a number apart from its text; whatever has none has no key."""
    assert key_of(expression)(one) == key


_DIFFERENT = [
    "1764367200.123456781",
    "1764367200.123456789",
    "9007199254740992",
    "9007199254740993",
    "1" + "0" * 5_000,
    "1" + "0" * 5_001,
    "1e400",
    "2e400",
    "1",
    "1.0",
    "1e0",
    "-0",
    "0",
    "true",
    "false",
    '"1"',
    '"true"',
    '"a"',
    '"A"',
    '"a\\u0000b"',
    '"a\\u0000c"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    f'"{"x" * 2_000}"',
    f'"{"x" * 1_999}y"',
]


def test_what_is_different_has_different_keys() -> None:
    """However alike a reader of numbers would find it, and however long it is; no key is long itself."""
    keys = [key_of("/id")(message(b'{"id": %b}' % text.encode())) for text in _DIFFERENT]
    keys += [key_of("user:id")(message(b"", ("id", text))) for text in ("a\0b", "a\0c", "y" * 5_000, "y" * 4_999 + "z")]
    hashed = next(key for key in keys if key and key.startswith("sha256:"))
    keys.append(key_of("user:id")(message(b"", ("id", hashed))))
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert max(len(key or "") for key in keys) <= 1_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"a"', '"\\u0061"'),
        ('"/"', '"\\/"'),
        ('"\U0001f600"', '"\\uD83D\\uDE00"'),
        ('"\u00e9"', '"\\u00E9"'),
        ("12.50", "12.50"),
    ],
)
def test_what_is_the_same_has_the_same_key(one: str, other: str) -> None:
    """A string is its characters, whichever of them are escaped (RFC 8259, section 7)."""
    keys = [key_of("/id")(message(b'{"x": 0, "id": %b}' % text.encode())) for text in (one, other)]
    assert keys[0] == keys[1]
    assert keys[0] is not None


def test_no_key_is_looked_for_in_a_large_payload(caplog: pytest.LogCaptureFixture) -> None:
    """Reading it would take many times its length in memory: it is stored, and that is logged once a batch."""
    asking = Asking(key=key_of("/id"), key_seconds=9, longest_delay=0)
    large = message(b'{"id": 1, "x": "' + b"x" * LARGEST_PAYLOAD + b'"}')
    assert asking.terms([large, message(b'{"id": 1}'), large]) == {1: Terms("1", 9, 0.0)}
    (line,) = caplog.messages
    assert line.startswith("Stored 2 messages without looking for their key")


@pytest.mark.parametrize("expression", ["", "id", "user:", "/a~2"])
def test_what_is_no_place_of_a_key(expression: str) -> None:
    """Any other expression is refused."""
    with pytest.raises(ValueError, match=r"neither user:NAME nor a JSON pointer|not a JSON pointer"):
        key_of(expression)


def test_only_what_asks_has_terms() -> None:
    """By position; a delay is cut to the longest one, and a long key to its hash."""
    asking = Asking(key=key_of("user:id"), key_seconds=9, longest_delay=100)
    messages = [
        message(),
        delayed("1.5"),
        message(b"", ("id", "a")),
        delayed("1000"),
        delayed("0"),
        message(b"", ("id", "x" * 1_001)),
        message(b"", ("other", "a")),
    ]
    assert asking.terms(messages) == {
        1: Terms(None, 9, 1.5),
        2: Terms("a", 9, 0.0),
        3: Terms(None, 9, 100),
        5: Terms("sha256:" + sha256(b"x" * 1_001).hexdigest(), 9, 0.0),
    }


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", ""])
def test_a_delay_that_is_none(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The message is stored without, and it is reported once a batch with the topic."""
    asking = Asking(key=None, key_seconds=0, longest_delay=100)
    with caplog.at_level(logging.WARNING):
        assert asking.terms([delayed(text)] * 3) == {}
    (record,) = caplog.records
    assert (
        record.getMessage()
        == f"Stored 3 messages without a delay: expected a number of seconds, 0 or more; first: fmq-delay={text} on t"
    )


def test_delays_may_be_off() -> None:
    """With a longest delay of 0 the property means nothing."""
    assert Asking(key=None, key_seconds=0, longest_delay=0).terms([delayed("5")]) == {}
