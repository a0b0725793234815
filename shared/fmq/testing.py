"""Tests of handlers: messages, one run of a handler, and a bench with a real store.

    def test_a_cold_reading_is_stored() -> None:
        result = run(handle, message({"temperature": -3}))
        assert result.outcome == fmq.Done()

``fmq-processor`` has to be installed, since its real engine runs the handler. pytest finds the fixture ``fmq_bench``
automatically.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pydantic_core import to_jsonable_python

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import HandlerError
from fmq.message import NO_PROPERTIES, DeadLetter, Incoming, Message, Properties, Waiting
from fmq.outcome import Outcome
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import walk

__all__ = ["Bench", "DeadLetter", "HasHandle", "Result", "States", "Target", "Waiting", "message", "run", "run_batch"]


class HasHandle(Protocol):
    """An object with a method ``handle``."""

    @property
    def handle(self) -> Callable[..., object]:
        """The handler."""
        ...


Target = Callable[..., object] | HasHandle | str
"""A handler: a function, a class, an object with a method ``handle``, or a name as ``--handler`` takes it."""

_IDS = count(1)
_QUEUE = "test"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message. ``seconds`` is the time that the handler took, ``logs`` what it logged at INFO or above.

    ``is_handled`` is False if the handler did not get the message, because of the filter or the message's expiry: such a message
    is done.
    """

    outcome: Outcome
    is_handled: bool
    seconds: float
    logs: Sequence[logging.LogRecord]


class States(NamedTuple):
    """The number of messages of a queue by state. ``pending`` includes those in ``retrying``, which wait for their retry."""

    pending: int
    retrying: int
    done: int
    dead: int


def message(
    payload: object = b"",
    *,
    topic: str = _QUEUE,
    queue: str | None = None,
    qos: int = 1,
    retain: bool = False,
    retry_count: int = 0,
    content_type: str | None = None,
    user: Mapping[str, str] | None = None,
    properties: Properties | None = None,
    received_at: float | None = None,
) -> Message:
    """A message with an id of its own.

    ``payload``: bytes, text, or any other value, which becomes JSON, also a dataclass or a pydantic model. ``queue`` is ``topic`` by default. ``content_type`` and
    ``user`` (user properties) are MQTT 5 properties; ``properties`` sets all of them. ``received_at`` is in Unix seconds,
    now by default.
    """
    if content_type is not None or user:
        properties = Properties(content_type=content_type, user_properties=tuple((user or {}).items()))
    at = SYSTEM_CLOCK.wall() if received_at is None else received_at
    number, queue = next(_IDS), queue or topic
    return Message(number, queue, topic, _bytes(payload), at, qos, retain, retry_count, properties or NO_PROPERTIES)


def run(handle: Target, message: Message, **settings: object) -> Result:
    """Run a handler on one message: through decoder, filter, types, timeout and outcome, as a processor does it.

    A batch handler gets a batch of one. ``settings`` are those of the processor and of the handler: ``decode="json"``,
    ``max_retries=0``. The environment and fmq.toml have no effect. Set-up and tear-down run as well. Nothing is stored.

    Raises HandlerError and SettingsError as a processor reports them at its start.
    """
    return run_batch(handle, [message], **settings)[0]


def run_batch(handle: Target, messages: Sequence[Message], **settings: object) -> list[Result]:
    """Run a handler on several messages, a batch handler on all of them at once. Returns a result for each. See ``run``."""
    for one in messages:
        if not isinstance(one, Message):
            raise TypeError(f"expected messages as fmq.testing.message() makes them, not {type(one).__name__}")
    return _engine().run(handle, messages, settings)


class Bench:
    """A real store in a folder, a processor to run on it, and a clock that stands still until ``advance``."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/fmq_bench.db"
        """The URL of the store, for ``--queue-url``."""
        self._clock = _Clock()
        self._store = open_store(self.url, clock=self._clock)

    def put(
        self,
        payload: object = b"",
        *,
        topic: str = _QUEUE,
        queue: str | None = None,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Store a message as a listener does, and return its id. The parameters are those of ``message``."""
        queue = queue or topic
        self._store.declare(queue)
        self._store.put([Incoming(queue, topic, _bytes(payload), self._clock.wall(), qos, retain, properties)])
        return self._store.last_id(queue)

    def process(self, handle: Target, **settings: object) -> None:
        """Run a processor on all queues until nothing is due. Set-up and tear-down run as well. See ``run`` for the arguments.

        A failed message waits for its retry: call ``advance`` and then ``process`` again.
        """
        _engine().process(handle, self._open, self._clock, settings)

    def advance(self, seconds: float) -> None:
        """Move the clock of the store and the processor forward."""
        self._clock.offset += seconds

    def states(self, queue: str = _QUEUE) -> States:
        """How many messages of a queue are in which state."""
        stats = self._store.stats(queue)
        return States(stats.pending + stats.claimed, self._store.retrying(queue), stats.done, stats.dead)

    def waiting(self, queue: str = _QUEUE) -> list[Waiting]:
        """When the pending messages of a queue are due, and why their last attempt failed, by id."""
        ids = [one for found in walk(self._store, queue, Selection(State.PENDING), limit=1_000) for one in found.ids]
        found = self._store.waiting(queue, ids)
        return [found[one] for one in ids if one in found]

    def dead_letters(self, queue: str = _QUEUE) -> list[DeadLetter]:
        """The dead letters of a queue, by id: each with its message and its reason."""
        return list(self._store.dead_letters(queue, limit=10_000))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Store:
        return open_store(self.url, clock=self._clock)


class _Clock:
    """Stands still until it is moved, so that a test under load has the same result."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._wall, self._steady = SYSTEM_CLOCK.wall(), SYSTEM_CLOCK.steady()

    def wall(self) -> float:
        return self._wall + self.offset

    def steady(self) -> float:
        return self._steady + self.offset

    def boot_id(self) -> str:
        return SYSTEM_CLOCK.boot_id()


class _Engine(Protocol):
    """What ``fmq-processor`` adds by the entry point ``engine`` of the group ``fmq.testing``."""

    def run(self, handle: Target, messages: Sequence[Message], settings: Mapping[str, object]) -> list[Result]: ...

    def process(
        self,
        handle: Target,
        open_store: Callable[[], Store],
        clock: Clock,
        settings: Mapping[str, object],
    ) -> None: ...


@cache
def _engine() -> _Engine:
    for entry in entry_points(group="fmq.testing", name="engine"):
        engine: _Engine = entry.load()
        return engine
    raise HandlerError("fmq.testing runs handlers with fmq's processor, which is not installed: install fmq-processor")


def _bytes(payload: object) -> bytes:
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload, default=to_jsonable_python).encode()
