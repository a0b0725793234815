"""Topic filters: what is valid, what matches, which queue a message goes into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from fmq.topics import matches, parse
from fmq_listener.filters import Router, identifiers, overlapping, parse_all

_LEVELS = st.sampled_from(["a", "b", "", "+", "$x"])
_TOPICS = st.lists(st.sampled_from(["a", "b", "", "$x", "$SYS"]), min_size=1, max_size=4).map("/".join)
_FILTERS = (
    st.tuples(st.lists(_LEVELS, min_size=1, max_size=4), st.booleans())
    .map(lambda made: "/".join([*made[0], "#"] if made[1] else made[0]))
    .filter(bool)
)


@pytest.mark.parametrize(
    "text",
    ["dstdb", "sensor/temperature", "+", "#", "/", "a//b", "sensors/+/temp", "a/#", "$SYS/#", "+/+", "Ünï/日本", "a b"],
)
def test_a_valid_filter_names_its_own_queue(text: str) -> None:
    """A filter without $share is its queue's name, unchanged."""
    assert parse(text).name == parse(text).text == text


def test_a_shared_filter_fills_the_queue_of_the_filter_inside() -> None:
    """$share/GROUP/ is what the broker is asked for and no part of the queue's name."""
    one = parse("$share/workers/sensors/+/temp")
    assert (one.text, one.name) == ("$share/workers/sensors/+/temp", "sensors/+/temp")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a/#/b", "# before its last level"),
        ("a#", "wildcard next to"),
        ("a/b+", "wildcard next to"),
        ("++", "wildcard next to"),
        ("a\0b", "NUL"),
        ("x" * 65_536, "65536 bytes"),
        ("ü" * 32_768, "65536 bytes"),
        ("\ud800", "UTF-8"),
        ("$share", "shared subscription"),
        ("$share/g", "shared subscription"),
        ("$share//a", "shared subscription"),
        ("$share/g+/a", "shared subscription"),
        ("$share/g/", "empty"),
        ("$share/g/a/#/b", "# before its last level"),
    ],
)
def test_an_invalid_filter_is_refused_with_the_reason(text: str, why: str) -> None:
    """Each rule of MQTT 5, section 4.7 and 4.8.2, has a message of its own."""
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_the_longest_filter_is_valid() -> None:
    """65,535 bytes are allowed."""
    assert parse("x" * 65_535).name == "x" * 65_535


def test_two_filters_of_one_queue_are_refused() -> None:
    """A filter and its shared form would store each message twice in one queue; the same filter twice is one."""
    with pytest.raises(ValueError, match="same queue 'a/b'"):
        parse_all(["a/b", "$share/g/a/b"])
    assert [one.text for one in parse_all(["a", "b", "a"])] == ["a", "b"]


@given(_FILTERS, _TOPICS)
def test_matching_agrees_with_paho(text: str, topic: str) -> None:
    """Our matching, which needs no recursion, answers as paho's own."""
    assert matches(text.split("/"), topic) == topic_matches_sub(text, topic)


def test_matching_takes_a_topic_of_any_depth() -> None:
    """A topic of 65,535 slashes is nothing to fall over."""
    assert matches(["#"], "/" * 65_535)
    assert not matches(["+"] * 65_535, "/" * 65_535)
    assert matches(["+"] * 65_536, "/" * 65_535)


@given(_FILTERS, _FILTERS, _TOPICS)
def test_filters_that_match_one_topic_overlap(one: str, other: str, topic: str) -> None:
    """No pair that can match the same topic goes unnoticed."""
    if matches(one.split("/"), topic) and matches(other.split("/"), topic):
        assert overlapping([one, other]) == [(one, other)]


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a/+", "a/b", True),
        ("a/#", "a", True),
        ("+/b", "a/+", True),
        ("#", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/b", "a_b", False),
        ("#", "$SYS/x", False),
        ("a/+/c", "a/#", True),
    ],
)
def test_overlaps_are_told_apart(one: str, other: str, overlap: bool) -> None:  # noqa: FBT001
    """Only filters that can match the same topic overlap."""
    assert bool(overlapping([one, other])) == overlap


def test_identifiers_are_stable_and_distinct() -> None:
    """An identifier depends on its name alone, is in MQTT's range, and survives other names coming and going."""
    few, many = identifiers(["b", "a"]), identifiers([*"abcdefgh"])
    assert few["a"] == many["a"]
    assert few["b"] == many["b"]
    assert len(set(many.values())) == len(many)
    assert all(1 <= number <= 268_435_455 for number in many.values())


def test_colliding_identifiers_are_resolved_in_the_same_way_each_time() -> None:
    """Two names with one checksum get two identifiers, whatever the order in which they are known."""
    one, other = "plumless", "buckeroo"  # the same CRC-32
    assert identifiers([one, other]) == identifiers([other, one])
    assert len(set(identifiers([one, other]).values())) == 2


def test_messages_go_by_their_identifiers() -> None:
    """With identifiers, a message goes into exactly the queues of these, whatever else matches its topic."""
    numbers = identifiers(["a/#", "a/+", "old"])
    router = Router(["a/#", "a/+"], ["old"], numbers)
    assert router.by_identifiers([numbers["a/+"]], "a/b") == ("a/+",)
    assert router.by_identifiers([numbers["a/+"], numbers["a/#"]], "a/b") == ("a/+", "a/#")
    assert router.by_identifiers([numbers["old"]], "old") == ("old",)


def test_a_repeated_identifier_names_its_queue_once() -> None:
    """A broker repeats one that two subscriptions have (MQTT 5, section 3.3.4): one PUBLISH stays one message a queue."""
    numbers = identifiers(["a", "b"])
    router = Router(["a", "b"], [], numbers)
    assert router.by_identifiers([numbers["b"], numbers["a"], numbers["b"]] * 1_000, "b") == ("b", "a")


def test_an_unknown_identifier_falls_back_to_the_topic() -> None:
    """The broker may still use an identifier of a session that somebody else made."""
    router = Router(["a/#"], [], identifiers(["a/#"]))
    assert router.by_identifiers([12345], "a/b") == ("a/#",)


def test_without_identifiers_a_message_goes_into_every_matching_queue() -> None:
    """MQTT 3.1.1 does not tell which subscription a message belongs to."""
    router = Router(["a/#", "a/+", "b"], [], identifiers(["a/#", "a/+", "b"]))
    assert router.by_topic("a/b") == ("a/#", "a/+")


def test_what_no_wanted_filter_matches_goes_into_a_former_queue_or_nowhere() -> None:
    """Messages of a removed filter are kept as long as its queue exists; the rest belongs to no queue."""
    router = Router(["a"], ["a/#", "b"], identifiers(["a", "a/#", "b"]))
    assert router.by_topic("a") == ("a",)
    assert router.by_topic("b") == ("b",)
    assert router.by_topic("c") == ()
