"""What runs a handler: the protocol of both runners."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from fmq_processor.job import Finished, Job

SPARE_HUNG = 4
"""The number of hanging calls beyond the concurrency after which the process has to be restarted."""


class Bell:
    """Wakes the supervisor, from any thread.

    A bare lock, free while a ring is pending. Not a SimpleQueue: in CPython 3.11 its ``get`` with a timeout waits forever if a
    signal handler takes longer than the rest of the timeout.
    """

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        """Wake the supervisor, now or as soon as it waits; any number of rings count as one."""
        with suppress(RuntimeError):  # the last ring is still pending
            self._silent.release()

    def wait(self, seconds: float) -> None:
        """Wait for a ring, at most ``seconds``."""
        self._silent.acquire(timeout=seconds)


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
