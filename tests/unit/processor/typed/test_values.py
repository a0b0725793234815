"""Payloads as values of the handler's types."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from annotated_types import Lt
from pydantic import BaseModel, ConfigDict, field_validator
from typing_extensions import TypedDict

import fmq
from fmq.outcome import Cause
from support.own_handlers import decoded, own

_T = TypeVar("_T")


class Reading(BaseModel):
    """A model of pydantic."""

    model_config = ConfigDict(extra="forbid")
    temperature: Annotated[float, Lt(100)]
    unit: Literal["C", "F"] = "C"

    @field_validator("temperature")
    @classmethod
    def _not_absurd(cls, value: float) -> float:
        if value < -273:
            raise ValueError("below absolute zero")
        if value == 42:
            raise KeyError("a mistake of the user's own")
        return value


@dataclass
class Point:
    """A dataclass."""

    x: int
    at: datetime | None = None


class Row(TypedDict):
    """A TypedDict."""

    name: str
    tags: list[str]


class Box(BaseModel, Generic[_T]):
    """A generic model."""

    inside: _T


def takes_model(reading: Reading) -> object:
    return reading


def takes_dataclass(point: Point) -> object:
    return point


def takes_dict(row: Row) -> object:
    return row


def takes_generic(box: Box[Point]) -> object:
    return box


def takes_optional(reading: Reading | None) -> object:
    return reading


def takes_union(one: Reading | Point) -> object:
    return one


def takes_list(readings: list[Reading]) -> object:
    return readings


def takes_number(number: int) -> object:
    return number


def takes_text(text: str) -> object:
    return text


def takes_bytes(payload: bytes) -> object:
    return payload


def takes_anything(message: fmq.Message, body: Any) -> object:  # noqa: ANN401 - as a user may write it
    return message.topic, body


def takes_both(message: fmq.Message, reading: Reading) -> object:
    return message.topic, reading.temperature


def takes_both_in_the_other_order(reading: Reading, *, message: fmq.Message, retries: int = 3) -> object:
    return message.topic, reading.temperature, retries


@pytest.mark.parametrize(
    ("handle", "body", "value"),
    [
        (takes_model, {"temperature": 20.5}, Reading(temperature=20.5)),
        (takes_dataclass, {"x": 1, "at": "2026-11-29T10:00:00"}, Point(1, datetime(2026, 11, 29, 10))),  # noqa: DTZ001 - as the payload says it
        (takes_dict, {"name": "a", "tags": ["b"]}, {"name": "a", "tags": ["b"]}),
        (takes_generic, {"inside": {"x": 2}}, Box[Point](inside=Point(2))),
        (takes_optional, None, None),
        (takes_optional, {"temperature": 1}, Reading(temperature=1)),
        (takes_union, {"x": 3}, Point(3)),
        (takes_list, [{"temperature": 1}], [Reading(temperature=1)]),
        (takes_number, 7, 7),
        (takes_anything, [1], ("t", [1])),
        (takes_both, {"temperature": 1}, ("t", 1)),
        (takes_both_in_the_other_order, {"temperature": 1}, ("t", 1, 3)),
    ],
)
def test_a_handler_gets_the_payload_as_a_value(handle: Callable[..., Any], body: object, value: object) -> None:
    """Models, dataclasses, TypedDicts, generics, unions, and any other type; with or without the message."""
    handler = own(handle)
    assert handler.handle(decoded(body)) == value
    assert not handler.is_batch
    assert handler.implied_decode == "json"


@pytest.mark.parametrize(("handle", "decode"), [(takes_text, "text"), (takes_bytes, "none")])
def test_text_and_bytes_are_not_taken_for_json(handle: Callable[..., Any], decode: str) -> None:
    """A handler of str gets text, one of bytes the payload as it is."""
    assert own(handle).implied_decode == decode


@pytest.mark.parametrize(
    ("handle", "body", "reason"),
    [
        (takes_model, {"temperature": "warm"}, "body.temperature: not a number"),
        (takes_model, {}, "body.temperature: missing"),
        (takes_model, {"temperature": 100}, "body.temperature: should be less than 100"),
        (takes_model, {"temperature": -300}, "body.temperature: below absolute zero"),
        (takes_model, {"temperature": 1, "unit": "K"}, "body.unit: should be 'C' or 'F'"),
        (takes_model, {"temperature": 1, "color": 1}, "body.color: not an expected field"),
        (takes_model, [1], "body: not an object"),
        (takes_model, b"\x00secret", "body: not an object"),
        (takes_dataclass, {"x": 1.5, "at": "soon"}, "body.x: not a whole number; body.at: not a date and time"),
        (takes_dataclass, "x", "body: not an object"),
        (takes_dict, {"name": 1, "tags": "b"}, "body.name: not a text; body.tags: not a list"),
        (takes_list, [{"temperature": 1}, {"temperature": None}], "body[1].temperature: not a number"),
        (takes_list, [{}] * 5, "body[0].temperature: missing; body[1].temperature: missing; body[2].temperature: missing; and 2 more"),
        (takes_list, [1] * 2_000, "body: 2,000 faults in its fields"),
        (takes_number, "x", "body: not a whole number"),
        (takes_model, {"temperature": 1, "\ud800": 1}, "body: should be a valid string, unable to parse raw data as a unicode string"),
        (takes_model, {"temperature": 1, "\u202e\n" + "x" * 200: 1}, "body.\\u202e\\n" + "x" * 53 + "…" + "x" * 33 + ": not an expected field"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_dead_at_once_with_the_field_named(
    handle: Callable[..., Any], body: object, reason: str
) -> None:
    """In words, with names from the payload shortened and harmless, and without its values."""
    assert own(handle).handle(decoded(body)) == fmq.Dead(reason, Cause.UNREADABLE)


class Tree(BaseModel):
    """A recursive model."""

    children: list["Tree"] = []


def test_a_payload_that_is_nested_deeply_is_dead() -> None:
    """Instead of a crash, or of a retry."""

    def handle(tree: Tree) -> object:
        return tree

    body: dict[str, Any] = {}
    for _ in range(10_000):
        body = {"children": [body]}
    outcome = own(handle).handle(decoded(body))
    assert isinstance(outcome, fmq.Dead)
    assert outcome.reason.endswith("nested too deeply")
    assert len(outcome.reason) < 150


@pytest.mark.parametrize(
    ("wanted", "body", "reason"),
    [
        (bool, 3, "not true or false"),
        (UUID, "x", "not a UUID"),
        (Decimal, "x", "not a number"),
        (dict[str, int], [], "not an object"),
        (set[int], 1, "not a list"),
        (tuple[int, int], [1], "missing"),
        (None, 1, "should be None"),
    ],
)
def test_other_types_have_words_too(wanted: Any, body: object, reason: str) -> None:  # noqa: ANN401 - types
    """The standard types of Python."""

    def handle(value: Any) -> object:  # noqa: ANN401 - replaced below
        return value

    handle.__annotations__["value"] = wanted
    outcome = own(handle).handle(decoded(body))
    assert isinstance(outcome, fmq.Dead)
    assert reason in outcome.reason


def test_a_validators_own_exceptions_are_the_handlers() -> None:
    """A mistake in a validator is retried like one in the handler, and a Reject rejects."""
    with pytest.raises(KeyError):
        own(takes_model).handle(decoded({"temperature": 42}))


def test_an_async_handler_gets_values() -> None:
    """As a plain one does."""

    async def handle(message: fmq.Message, reading: Reading) -> object:
        await asyncio.sleep(0)
        return message.id, reading.temperature

    handler = own(handle)
    assert handler.is_async
    assert asyncio.run(handler.handle(decoded({"temperature": 1}))) == (1, 1)
    assert asyncio.run(handler.handle(decoded({}))) == fmq.Dead("body.temperature: missing", Cause.UNREADABLE)


BATCH = [
    decoded({"temperature": 1}, 1),
    decoded({}, 2),
    decoded({"temperature": 42}, 3),
    decoded({"temperature": 4}, 4),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("result", [None, False, [True, False], ValueError("x")], ids=str)
def test_in_a_batch_only_those_that_do_not_fit_are_dead(result: object, is_async: bool) -> None:  # noqa: FBT001
    """The others get the handler's own results, whatever it returns or raises."""
    got: list[object] = []

    @fmq.batch_handler
    def handle(messages: list[fmq.Message], readings: Sequence[Reading]) -> object:
        got.append([(message.id, reading.temperature) for message, reading in zip(messages, readings, strict=True)])
        if isinstance(result, Exception):
            raise result
        return result

    @fmq.batch_handler
    async def handle_async(messages: list[fmq.Message], readings: Sequence[Reading]) -> object:
        return handle(messages, readings)

    handler = own(handle_async if is_async else handle)
    assert handler.is_batch
    found = asyncio.run(handler.handle(BATCH)) if is_async else handler.handle(BATCH)
    assert got == [[(1, 1), (4, 4)]]
    first, second = result if isinstance(result, list) else (result, result)
    assert [found[0], found[3]] == [first, second]
    assert found[1] == fmq.Dead("body.temperature: missing", Cause.UNREADABLE)
    assert isinstance(found[2], KeyError)


def test_a_batch_in_which_nothing_fits_does_not_reach_the_handler() -> None:
    """All its messages are dead."""

    @fmq.batch_handler
    def handle(readings: list[Reading]) -> None:
        raise AssertionError(readings)

    found = own(handle).handle([decoded({}), decoded([])])
    assert [one.reason for one in found] == ["body.temperature: missing", "body: not an object"]


def test_a_batch_that_fits_is_handed_over_as_it_is() -> None:
    """Its result is the handler's own."""

    @fmq.batch_handler
    def handle(readings: list[Reading]) -> object:
        return readings

    assert own(handle).handle([BATCH[0]]) == [Reading(temperature=1)]
