"""Pauses a queue in which too many messages die: in the store, for every processor."""

import logging
from collections.abc import Callable, Sequence

from fmq.clock import Clock
from fmq.log import shorten
from fmq.metrics import ProcessorMetrics
from fmq.queue import Queue
from fmq_processor.dead_letter_limit import DeadLetterLimit
from fmq_processor.gate import Gate

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_REASON = "too many dead letters"
"""How the reason of each such pause begins; pauses of other kinds are left alone."""


class Pausing:
    """``resume_after`` seconds it resumes such a queue by itself; 0: an operator has to."""

    def __init__(
        self,
        *,
        queue: Queue,
        gate: Gate,
        limit: DeadLetterLimit,
        clock: Clock,
        metrics: ProcessorMetrics,
        served: Callable[[], Sequence[str]],
        resume_after: float = 0.0,
    ) -> None:
        """``served`` tells the queues that this processor serves."""
        self._queue = queue
        self._gate = gate
        self._limit = limit
        self._clock = clock
        self._metrics = metrics
        self._served = served
        self._resume_after = resume_after
        self._wanted: dict[str, str] = {}
        self._paused: set[str] = set()
        self._look_at = 0.0

    def want(self, queue: str, reason: str) -> None:
        """Pause ``queue`` in the next step; ``reason`` is that of the message which would have been one too many."""
        if queue not in self._paused:
            self._wanted.setdefault(queue, f"{_REASON}, the last: {shorten(reason.partition(chr(10))[0])}")

    def step(self) -> bool:
        """Do what is due. Returns whether a queue was paused: nothing of it should be started any more."""
        paused = [self._pause(name, reason) for name, reason in tuple(self._wanted.items())]
        if self._resume_after and self._clock.steady() >= self._look_at:
            self._look_at = self._clock.steady() + _LOOK_SECONDS
            for name in self._served():
                self._resume_if_over(name)
        return any(paused)

    def lent(self, name: str) -> None:
        """Note that messages of ``name`` were lent: if it was paused, it is no more."""
        if name in self._paused:
            self._paused.discard(name)
            self._limit.forget(name)
            _log.info("The queue %s is resumed", shorten(name))

    def _pause(self, name: str, reason: str) -> bool:
        is_new = self._gate.attempt(lambda: self._queue.pause(name, reason))
        if is_new is None:
            return False  # the store is unavailable; what should be settled waits as well
        del self._wanted[name]
        self._paused.add(name)
        if is_new:
            self._metrics.dead_letter_pauses.labels(name).inc()
            _log.error("Paused the queue %s: %s; fmq resume goes on with it", shorten(name), reason)
        return True

    def _resume_if_over(self, name: str) -> None:
        pause = self._gate.attempt(lambda: self._queue.paused(name), writes=False)
        if pause is None or not pause.reason.startswith(_REASON):
            return
        if self._clock.wall() - pause.since >= self._resume_after:
            self._gate.attempt(lambda: self._queue.resume(name))
