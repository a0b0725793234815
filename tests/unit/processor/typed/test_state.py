"""What ``setup()`` made reaches the handler and ``teardown()``."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import pytest
from pydantic import BaseModel

import fmq
from fmq.errors import HandlerError
from fmq.handler import Handler
from fmq_processor.runners.factory import make_runner
from fmq_processor.runners.hooks import set_up, tear_down
from support.own_handlers import decoded, own


class Database:
    """What the hooks make."""

    def __init__(self) -> None:
        self.log = ["opened"]


class Reading(BaseModel):
    """A payload."""

    temperature: float


MADE: list[Database] = []


def _open() -> Database:
    MADE.append(Database())
    return MADE[-1]


def setup() -> Database:
    return _open()


async def setup_async() -> Database:
    return _open()


def setup_yielding() -> Iterator[Database]:
    database = _open()
    yield database
    database.log.append("closed")


async def setup_yielding_async() -> AsyncIterator[Database]:
    database = _open()
    yield database
    database.log.append("closed")


def teardown(database: Database) -> None:
    database.log.append("closed")


async def teardown_async(database: Database) -> None:
    database.log.append("closed")


def handle(reading: Reading, database: Database) -> None:
    database.log.append(f"{reading.temperature:g}")


async def handle_async(message: fmq.Message, reading: Reading, *, database: Database) -> None:
    database.log.append(f"{reading.temperature * message.id:g}")


@fmq.batch_handler
def handle_batch(readings: list[Reading], database: Database) -> None:
    database.log += [f"{reading.temperature:g}" for reading in readings]


def _run(handler: Handler) -> list[str]:
    """Set up, handle one message, tear down, in a real runner."""
    runner = make_runner(handler, concurrency=1, timeout=10)
    runner.start()
    try:
        assert set_up(runner, handler.setup, keep_waiting=lambda: True)
        message = decoded({"temperature": 20.5})
        result: Any = handler.handle([message] if handler.is_batch else message)
        if handler.is_async:

            async def finish() -> None:
                await result

            runner.call(finish).result(10)
        assert tear_down(runner, handler.teardown, keep_waiting=lambda: True)
    finally:
        runner.stop(5)
    return MADE[-1].log


@pytest.mark.parametrize(
    ("handle", "setup", "teardown"),
    [
        (handle, setup, teardown),
        (handle, setup_async, teardown_async),
        (handle, setup_yielding, None),
        (handle_batch, setup, teardown),
        (handle_async, setup, teardown),
        (handle_async, setup_async, teardown_async),
        (handle_async, setup_yielding, None),
        (handle_async, setup_yielding_async, None),
        (handle, contextmanager(setup_yielding), None),
        (handle_async, contextmanager(setup_yielding), None),
        (handle_async, asynccontextmanager(setup_yielding_async), None),
    ],
)
def test_what_setup_made_reaches_handler_and_teardown(
    handle: Callable[..., Any], setup: Callable[..., Any], teardown: Callable[..., Any] | None
) -> None:
    """By its type, whether setup is plain or async, returns or yields, also as a context manager."""
    assert _run(own(handle, setup=setup, teardown=teardown)) == ["opened", "20.5", "closed"]


def test_a_handler_of_messages_may_take_the_state() -> None:
    """And one that takes none is called directly, with its hooks as before."""

    def takes_message(message: fmq.Message, database: Database) -> object:
        return message.id, database.log

    handler = own(takes_message, setup=setup)
    assert handler.setup is not None
    handler.setup()
    assert handler.handle(decoded(None)) == (1, ["opened"])

    def takes_nothing(message: fmq.Message) -> object:
        return message

    assert own(takes_nothing, setup=setup, teardown=lambda: None).handle is takes_nothing


def _nothing_yielded() -> Iterator[Database]:
    yield from ()


def test_a_setup_that_yields_nothing_or_twice_is_an_error() -> None:
    """Of the setup, or of the teardown, as after an exception in it."""

    def yields_twice() -> Iterator[Database]:
        yield Database()
        yield Database()

    nothing = own(handle, setup=_nothing_yielded)
    assert nothing.setup is not None
    with pytest.raises(RuntimeError, match="without a yield"):
        nothing.setup()
    twice = own(handle, setup=yields_twice)
    assert twice.setup is not None
    assert twice.teardown is not None
    twice.setup()
    with pytest.raises(RuntimeError, match="more than once"):
        twice.teardown()


def _unannotated():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as users write it
    return Database()


def _unresolvable() -> "Elsewhere":  # type: ignore[name-defined]  # noqa: F821 - as users write it
    return Database()


def _unannotated_generator():  # type: ignore[no-untyped-def]  # noqa: ANN202 - as users write it
    yield Database()


class Base:
    """What a related class of the state is."""


class Derived(Base):
    """What setup() makes."""


def _derived() -> Derived:
    return Derived()


def _managed() -> AbstractContextManager[Base]:
    raise NotImplementedError


def _maybe() -> Base | None:
    return None


def _dict() -> dict:  # type: ignore[type-arg]  # as users write it
    return {}


def _asking(url: str) -> Base:
    raise NotImplementedError


def _tear_two(base: Base, other: Base) -> None: ...


def takes_base(message: fmq.Message, base: Base) -> None: ...


def takes_dicts(payload: dict, state: dict) -> None: ...  # type: ignore[type-arg]  # as users write it


@pytest.mark.parametrize(
    ("handle", "setup", "teardown", "told"),
    [
        (handle, _unannotated, None, "'reading' may take the payload or what setup() made: annotate what setup() returns"),
        (handle, _unannotated_generator, None, "annotate what setup() returns"),
        (handle, _unresolvable, None, "the return type of setup() is not known at run time: 'Elsewhere' can't be resolved"),
        (handle, None, None, "'reading' and 'database' both do: a parameter takes what setup() made if it has the type"),
        (handle, setup_yielding, teardown, "move the code of teardown() after the yield"),
        (handle, contextmanager(setup_yielding), teardown, "move the code of teardown() after the yield"),
        (handle, asynccontextmanager(setup_yielding_async), None, "is not async, so its setup() can't be an async generator"),
        (takes_dicts, _dict, None, "can take what setup() made only once, but 'payload' and 'state' both do"),
        (takes_base, _derived, None, "If 'base' should, give it the same type as the result of setup(), which is"),
        (takes_base, _managed, None, "no parameter takes what setup() made"),
        (takes_base, _maybe, None, "no parameter takes what setup() made"),
        (takes_base, _asking, None, "its setup() takes no argument, but its signature is (url: str)"),
        (takes_base, None, _tear_two, "its teardown() takes at most one argument, what setup() made, but its signature is"),
        (handle, setup_yielding_async, None, "is not async, so its setup() can't be an async generator"),
    ],
)  # fmt: skip
def test_hooks_that_do_not_fit_are_refused(
    handle: Callable[..., Any], setup: Callable[..., Any] | None, teardown: Callable[..., Any] | None, told: str
) -> None:
    """At the start, with what to change."""
    with pytest.raises(HandlerError) as caught:
        own(handle, setup=setup, teardown=teardown)
    assert told in str(caught.value)


def test_a_handler_that_takes_one_parameter_needs_no_annotated_setup() -> None:
    """As before there were types: its one parameter is the message or the payload."""

    def takes_reading(reading: Reading) -> object:
        return reading.temperature

    assert own(takes_reading, setup=_unannotated).handle(decoded({"temperature": 1})) == 1
