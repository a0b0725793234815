"""Which messages an expression lets through."""

from typing import Any

import pytest

from fmq.message import Message, Properties
from fmq_processor.prepare.filtering import Filter, Unfilterable

MESSAGE = Message(
    7,
    "sensors/#",
    "sensors/7/temp",
    b"",
    0.0,
    qos=1,
    retain=True,
    properties=Properties(
        content_type="application/json", user_properties=(("site", "a"), ("site", "b"), ("kind", "x"))
    ),
)
BODY = {"kind": "alarm", "value": 21.5, "zero": 0, "no": False, "empty": "", "tags": ["a", "b"], "in": {"side": 1}}


def admits(expression: str, body: Any = BODY) -> bool:  # noqa: ANN401
    return Filter(expression).admits(MESSAGE, lambda: body)


@pytest.mark.parametrize(
    "expression",
    [
        "body.kind == 'alarm'",
        "body.value > `20`",
        "body.value > `20` && body.value < `22`",
        "body.in.side",
        "body.zero",  # 0 is true in JMESPath
        "contains(body.tags, 'a')",
        "body.tags[?@ == 'b']",
        "topic_matches(topic, 'sensors/+/temp')",
        "topic == 'sensors/7/temp'",
        "starts_with(topic, 'sensors/')",
        "levels[1] == '7'",
        "queue == 'sensors/#'",
        "user.site == 'a'",
        "user.kind == 'x' && content_type == 'application/json'",
        "retain && qos == `1`",
        "!(body.missing)",
    ],
)
def test_true(expression: str) -> None:
    """Topic, a field's value, a user property (its first value), and what JMESPath offers."""
    assert admits(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "body.kind == 'other'",
        "body.missing",
        "body.no",
        "body.empty",
        "body.tags[?@ == 'c']",
        "topic_matches(topic, 'sensors/+')",
        "user.site == 'b'",
        "user.missing",
    ],
)
def test_false(expression: str) -> None:
    """False, null and what is empty."""
    assert not admits(expression)


@pytest.mark.parametrize("body", [b"bytes", "text", 7, None, [], {"kind": None}])
def test_a_body_without_fields_has_none(body: object) -> None:
    """Null, as JMESPath says, and no error."""
    assert not admits("body.kind == 'alarm'", body)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("body.kind =", "not a JMESPath expression"),
        ("body.kind == 'alarm", "not a JMESPath expression"),
        ("kind == 'alarm'", "unknown field 'kind'; fields are body, queue, topic"),
        ("payload.kind == 'alarm'", "unknown field 'payload'"),
        ("body.kind == kind", "unknown field 'kind'"),
        ("body.kind == alarm || topic", "unknown field 'alarm'"),
        ("keys(@)", "unknown field '@'"),
        ("matches(topic, 'a')", "unknown function 'matches'"),
        ("body.tags[?nothing(@)]", "unknown function 'nothing'"),
    ],
)
def test_wrong_expressions_are_told_before_the_first_message(expression: str, told: str) -> None:
    """One that could never be true would silently skip everything."""
    with pytest.raises(ValueError, match="^" + told.replace("'", ".")) as caught:
        Filter(expression)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "expression", ["body.tags[?@ == 'x'].kind", "sort_by(body.list, &kind)", "body.{a: kind}", "body.list[*].x | [0].y"]
)
def test_fields_of_what_was_found_are_any(expression: str) -> None:
    """Only what is asked of the message itself is known beforehand."""
    assert Filter(expression).needs_body


@pytest.mark.parametrize(
    ("expression", "needs"), [("topic == 'body'", False), ("user.body", False), ("topic || body", True)]
)
def test_it_knows_whether_it_needs_the_body(expression: str, needs: bool) -> None:  # noqa: FBT001
    """Decoding is needed only then."""
    assert Filter(expression).needs_body is needs


def test_the_body_is_decoded_only_when_it_is_asked_for() -> None:
    """What another topic carries need not be decodable."""

    def broken() -> object:
        raise AssertionError

    assert not Filter("topic == 'other' && body.kind == 'alarm'").admits(MESSAGE, broken)
    with pytest.raises(AssertionError):
        Filter("topic == 'sensors/7/temp' && body.kind == 'alarm'").admits(MESSAGE, broken)


@pytest.mark.parametrize(
    "expression", ["starts_with(body.value, 'x')", "length(body.zero)", "body.tags[::0]", "body.kind > `1`"]
)
def test_no_answer_is_told(expression: str) -> None:
    """Neither yes nor no: nothing may be skipped by accident."""
    with pytest.raises(Unfilterable, match="the filter failed"):
        admits(expression)


def test_a_body_nested_too_deep_for_a_function_is_told() -> None:
    """Another error would be tried repeatedly."""
    nest: list[object] = []
    for _ in range(5_000):
        nest = [nest]
    with pytest.raises(Unfilterable):
        admits("to_string(body) == 'x'", nest)
