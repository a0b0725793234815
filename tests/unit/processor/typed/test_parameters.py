"""Which parameter takes what, and annotations that can't be used."""

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import pytest
from pydantic import BaseModel

import fmq
from fmq.errors import HandlerError
from support.own_handlers import decoded, own, own_module

TYPED = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING
import functools

@dataclass
class Reading:
    temperature: float
    next: Reading | None = None
"""


class Reading(BaseModel):
    """A payload."""

    temperature: float


class Opaque:
    """Of this, pydantic knows nothing."""


def untyped(message):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - as users write it
    return message


def takes_message(message: fmq.Message) -> object:
    return message


def takes_optional_message(message: Optional[fmq.Message] = None) -> object:  # noqa: UP045 - as users write it
    return message


def takes_any(message: Any) -> object:  # noqa: ANN401 - as users write it
    return message


def takes_rest(*messages: fmq.Message) -> object:
    return messages


def takes_more(message: fmq.Message, retries: int = 3) -> object:
    return message, retries


@fmq.batch_handler
def batch(messages: Sequence[fmq.Message]) -> object:
    return messages


@fmq.batch_handler
def bare_batch(messages: list) -> object:  # type: ignore[type-arg]
    return messages


@fmq.batch_handler
def iterable_batch(messages: Iterable[fmq.Message]) -> object:
    return messages


class Holder:
    """A handler that is a class."""

    def handle(self, message: fmq.Message) -> object:
        return self, message


@pytest.mark.parametrize(
    "handle",
    [
        untyped,
        takes_message,
        takes_optional_message,
        takes_any,
        takes_rest,
        takes_more,
        batch,
        bare_batch,
        iterable_batch,
        print,
        min,
        functools.partial(takes_more, retries=1),
    ],
)
def test_a_handler_of_messages_is_called_directly(handle: Callable[..., Any]) -> None:
    """Nothing stands between it and the runner, and nothing is decoded for it."""
    handler = own(handle)
    assert handler.handle is handle
    assert handler.implied_decode == "none"


@pytest.mark.parametrize(
    "source",
    [
        "def handle(reading: Reading): return reading.temperature",
        "def handle(reading: 'Reading'): return reading.temperature",
        "def handle(message: fmq.Message, reading: Reading): return reading.temperature",
        "if TYPE_CHECKING:\n    import fmq\ndef handle(message: fmq.Message, reading: Reading): return reading.temperature",
        "if TYPE_CHECKING:\n    from fmq import Message\ndef handle(reading: Reading, message: Message): return reading.temperature",
        "class Mine:\n    def handle(self, reading: Reading): return reading.temperature\nhandle = Mine()",
        "class Mine:\n    def __call__(self, reading: Reading): return reading.temperature\nhandle = Mine()",
        "def two(factor, reading: Reading): return reading.temperature * factor\nhandle = functools.partial(two, 1)",
        (
            "def log(f):\n    @functools.wraps(f)\n    def g(*args): return f(*args)\n    return g\n"
            "@log\ndef handle(reading: Reading): return reading.temperature"
        ),
    ],
)
def test_annotations_may_be_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """With ``from __future__ import annotations``, forward references, and fmq imported for type checkers only.

    Methods, callable objects, partials and decorated functions too.
    """
    handler = own_module(tmp_path, TYPED + source, monkeypatch)
    assert handler.handle(decoded({"temperature": 20.5, "next": {"temperature": 1}})) == 20.5


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "if TYPE_CHECKING:\n    from elsewhere import Order\ndef handle(order: Order): pass",
            "its parameter 'order' has a type that is not known at run time: 'Order' can't be resolved (NameError: name 'Order' is not defined). Define or import it in the module, outside 'if TYPE_CHECKING:'",
        ),
        ("def handle(order: list[Order]): pass", "'list[Order]' can't be resolved"),
        ("@dataclass\nclass Order:\n    item: Item\ndef handle(order: Order): pass", "can't take payloads as Order: "),
        ("def handle(order: 'x y'): pass", "can't be resolved (SyntaxError"),
        ("def handle(*, reading): pass", "can't be called with one argument"),
        ("def handle(a: Reading, b): pass", "missing a required argument: 'b'"),
    ],
)
def test_annotations_that_have_no_meaning_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    """At the start, with the handler, the parameter and the type."""
    with pytest.raises(HandlerError) as caught:
        own_module(tmp_path, TYPED + source, monkeypatch)
    assert told in str(caught.value)
    assert "handler 'own_module_" in str(caught.value)


def _two_messages(first: fmq.Message, second: fmq.Message) -> None: ...
def _two_values(first: Reading, second: Reading) -> None: ...
def _unmarked_batch(messages: list[fmq.Message]) -> None: ...
def _message_or_value(one: fmq.Message | Reading) -> None: ...
def _opaque(one: Opaque) -> None: ...
@fmq.batch_handler
def _no_list(reading: Reading) -> None: ...


@pytest.mark.parametrize(
    ("handle", "told"),
    [
        (_two_messages, "can take the message only once, but 'first' and 'second' both do"),
        (_two_values, "can take the payload only once, but 'first' and 'second' both do"),
        (_unmarked_batch, "mark a handler of lists with @fmq.batch_handler"),
        (_message_or_value, "Take message and payload in two parameters"),
        (_opaque, "can't take payloads as Opaque"),
        (_no_list, "a batch handler takes lists, such as list[fmq.Message]"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(handle: Callable[..., Any], told: str) -> None:
    """With what the handler should take instead."""
    with pytest.raises(HandlerError) as caught:
        own(handle)
    assert told in str(caught.value)
