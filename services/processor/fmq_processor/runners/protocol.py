"""What runs a handler: the protocol of both runners."""

import os
import select
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from fmq_processor.job import Finished, Job

SPARE_HUNG = 4
"""The number of hanging calls beyond the concurrency after which the process has to be restarted."""


_DEAF_SECONDS = 0.002
"""How long an alarm is not heard after it went off."""


class Bell:
    """Wakes the supervisor, from any thread, and when ``alarm``, a file descriptor, gets readable.

    A pipe that holds a byte while a ring is pending. Not a SimpleQueue: in CPython 3.11 its ``get`` with a timeout waits forever
    if a signal handler takes longer than the rest of the timeout.
    """

    def __init__(self, alarm: int | None = None) -> None:
        self._heard, self._rung = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        weakref.finalize(self, _close, self._heard, self._rung)
        self._is_pending = False
        self._alarm = alarm
        self._deaf_until = 0.0
        self._rings, self._all = select.poll(), select.poll()
        for poll in (self._rings, self._all):
            poll.register(self._heard, select.POLLIN)
        if alarm is not None:
            self._all.register(alarm, select.POLLIN)

    @property
    def has_alarm(self) -> bool:
        """Whether it is heard when messages become available."""
        return self._alarm is not None

    def ring(self) -> None:
        """Wake the supervisor, now or as soon as it waits; any number of rings count as one."""
        if not self._is_pending:
            self._is_pending = True
            os.write(self._rung, b"!")

    def wait(self, seconds: float, *, alarm: bool = True) -> None:
        """Wait for a ring, at most ``seconds``, and, with ``alarm``, for the alarm.

        It does not count for 2 ms after it went off: so the steady traffic of others costs little.
        """
        found: list[tuple[int, int]] = []
        if (deaf := min(self._deaf_until - time.monotonic(), seconds)) > 0:
            found = self._rings.poll(1000 * deaf)
            seconds -= deaf
        found = found or (self._all if alarm else self._rings).poll(1000 * seconds)
        if any(number == self._alarm for number, _ in found):
            self._deaf_until = time.monotonic() + _DEAF_SECONDS
        if any(number == self._heard for number, _ in found):
            os.read(self._heard, 16)
            self._is_pending = False  # in this order; what was rung for in between is seen after this wait


def _close(*numbers: int) -> None:
    for number in numbers:
        os.close(number)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the process has to be restarted. ``is_stuck``: no call that runs can end; ``culprit`` is what they wait for."""

    reason: str
    is_stuck: bool = False
    culprit: Job | None = None


class Runner(Protocol):
    """Runs jobs elsewhere; every method is for the supervisor's thread and returns at once.

    What ended is appended to ``finished``, and ``bell`` rings soon after, once for many.
    """

    finished: deque[Finished]
    bell: Bell

    def start(self) -> None:
        """Make the threads."""
        ...

    def call(self, hook: Callable[[], Any]) -> Future[None]:
        """Run a set-up or tear-down, plain or async, where the handler runs."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs; they start in this order as soon as there is room."""
        ...

    def waiting(self) -> int:
        """How many jobs have not started."""
        ...

    def recall(self) -> list[Job]:
        """Take back what has not started."""
        ...

    def running(self) -> list[Job]:
        """What runs now, and perhaps a few jobs that have just finished."""
        ...

    def abandon(self, job: Job) -> None:
        """Stop ``job`` where that is possible, and make room for another one in any case."""
        ...

    def stalled(self, now: float) -> float:
        """For how many seconds, in all, no call could go on because another one held it up. ``now`` as in ``trouble``."""
        ...

    def trouble(self, now: float) -> Trouble | None:
        """Why the process has to be restarted, or None. ``now`` is in steady seconds."""
        ...

    def stop(self, seconds: float) -> bool:
        """End the threads. Returns whether they all ended within ``seconds``. May be called again."""
        ...

    def left(self) -> int:
        """The number of threads that have not ended."""
        ...


def take_all(waiting: deque[Job]) -> list[Job]:
    """Everything out of a deque that other threads take from meanwhile."""
    jobs = []
    with suppress(IndexError):  # another thread took the last one
        while waiting:
            jobs.append(waiting.popleft())
    return jobs
