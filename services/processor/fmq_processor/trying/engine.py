"""Runs a handler on messages, or on a store, and returns what became of them."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, cast
from uuid import UUID

from prometheus_client import CollectorRegistry

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import HandlerError
from fmq.handler import Definition, Handler, find_handler
from fmq.message import Message, serve_store
from fmq.outcome import Cause, RetryLater
from fmq.service.config.file import ConfigFile
from fmq.service.environment import Reading
from fmq.store.roles import Store
from fmq.testing import Result, Target
from fmq_processor.handler_loading import Choice
from fmq_processor.handlers import BUILTIN
from fmq_processor.settings import ProcessorSettings
from fmq_processor.trying.lent import Lent
from fmq_processor.trying.session import Session

ABOUT_HANDLERS = ("fmq_processor.handlers", "fmq_processor.engine.mistakes")
"""The loggers of built-in handlers, and of programming errors in handlers."""
_NO_STORE = UUID(int=0)
_ALONE = {"circuit_failures": 0, "dead_letter_limit": 0, "ordered": False, "sleep": 0.0, "rate_limit": ""}
"""One run says nothing of other messages, so the guards that compare messages are off."""


def run(handle: Target, messages: Sequence[Message], settings: Mapping[str, object]) -> list[Result]:
    """What ``fmq.testing.run_batch`` does."""
    processor, handler = _chosen(handle, settings)
    return run_messages(handler, processor, messages)[0]


def process(handle: Target, open_store: Callable[[], Store], clock: Clock, settings: Mapping[str, object]) -> None:
    """What ``fmq.testing.Bench.process`` does."""
    processor, handler = _chosen(handle, settings)
    with open_store() as store:
        serve_store(store.identity())
        if handler.know_store:
            handler.know_store(store.identity())
        with Session(handler, processor, store, clock=_Awake(clock)) as session:
            why = session.turn_until_idle()
        if why:
            raise HandlerError(why)


def run_messages(
    handler: Handler, settings: ProcessorSettings, messages: Sequence[Message], *, store: UUID = _NO_STORE
) -> tuple[list[Result], bool]:
    """Run ``handler`` once on each message. ``store`` is the identity from which ``Message.unique_id`` is made.

    Returns a result for each, and whether calls still hang. Raises SetupFailed and TeardownFailed.
    """
    serve_store(store)
    if handler.know_store:
        handler.know_store(store)
    lent, calls = Lent(messages), _Calls()
    queues = {"topics": tuple(lent.names()), "batch": max(1, len(messages))}
    alone = settings.model_copy(update={**_ALONE, **queues})
    session = Session(calls.noting(handler), alone, cast("Store", lent), clock=SYSTEM_CLOCK)
    with _logs() as logs, session:
        why: str | None = None
        while len(lent.outcomes) < len(messages) and why is None:
            why = session.turn()
    stuck = RetryLater(0.0, why or "", Cause.TIMEOUT)
    results = [
        Result(lent.outcomes.get(one.id, stuck), one.id in calls.began, calls.seconds(one.id), logs) for one in messages
    ]
    return results, session.hangs


def _chosen(handle: Target, given: Mapping[str, object]) -> tuple[ProcessorSettings, Handler]:
    """The processor's settings and the handler, as a service reads them, but from ``given`` alone."""
    reading = Reading(given, {}, file=ConfigFile())
    settings = reading.read(ProcessorSettings)
    definition = find_handler(handle, BUILTIN) if isinstance(handle, str) else _definition(handle)
    asked = definition.settings
    of_handler = reading.read(asked) if asked else None
    reading.refuse_other_flags("not a setting of the processor or of this handler")
    if settings is None or reading.problems:
        raise reading.error()
    return settings, Choice(settings, definition, of_handler).make(CollectorRegistry())


def _definition(target: Any) -> Definition:  # noqa: ANN401 - a function, a class or an object
    named = target if hasattr(target, "__qualname__") else type(target)
    module = named.__module__
    return Definition(f"{module}:{named.__qualname__}", target, sys.modules.get(module))


@dataclass
class _Calls:
    """When the calls began and ended, by the id of the message."""

    began: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)

    def seconds(self, number: int) -> float:
        """How long the call took, or has taken so far."""
        began = self.began.get(number)
        return 0.0 if began is None else self.ended.get(number, time.perf_counter()) - began

    def noting(self, handler: Handler) -> Handler:
        """``handler``, whose calls are noted."""
        handle = handler.handle

        @contextmanager
        def noted(given: Any) -> Iterator[None]:  # noqa: ANN401 - a message or a list
            ids = [one.id for one in (given if handler.is_batch else [given])]
            self.began |= dict.fromkeys(ids, time.perf_counter())
            try:
                yield
            finally:
                self.ended |= dict.fromkeys(ids, time.perf_counter())

        @wraps(handle)
        async def handle_async(given: Any) -> Any:  # noqa: ANN401 - as a handler has it
            __tracebackhide__ = True
            with noted(given):
                return await handle(given)

        @wraps(handle)
        def handle_plain(given: Any) -> Any:  # noqa: ANN401 - as above
            __tracebackhide__ = True
            with noted(given):
                return handle(given)

        return replace(handler, handle=handle_async if handler.is_async else handle_plain)


class _Records(logging.Handler):
    """Keeps what handlers log, and what fmq logs about them; not the progress of the engine."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        is_own = record.name.startswith(("fmq.", "fmq_processor."))
        if not is_own or record.name.startswith(ABOUT_HANDLERS) or record.levelno >= logging.ERROR:
            self.records.append(record)


@contextmanager
def _logs() -> Iterator[list[logging.LogRecord]]:
    """The records logged meanwhile, by any thread."""
    root, keeping = logging.getLogger(), _Records()
    before = root.level
    root.addHandler(keeping)
    root.setLevel(min(before or logging.INFO, logging.INFO))
    try:
        yield keeping.records
    finally:
        root.removeHandler(keeping)
        root.setLevel(before)


class _Awake:
    """The worker's clock for a store whose clock stands still: calls of the handler time out as they really would."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.steady() - SYSTEM_CLOCK.steady()

    def wall(self) -> float:
        return self._clock.wall()

    def steady(self) -> float:
        return SYSTEM_CLOCK.steady() + self._ahead

    def boot_id(self) -> str:
        return self._clock.boot_id()
