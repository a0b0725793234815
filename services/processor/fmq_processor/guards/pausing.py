"""Pauses a queue in which too many messages die, in the store and so for all processors."""

import logging
from collections.abc import Callable, Sequence

from fmq.clock import Clock
from fmq.errors import UnknownQueue
from fmq.service.log import shorten
from fmq.store.roles import Operating
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.guards.store_gate import Gate

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_REASON = "too many dead letters"
"""The start of the reason of such pauses. Other pauses are left alone."""


class Pausing:
    """Resumes such a queue after ``resume_after`` seconds; 0: an operator has to."""

    def __init__(
        self,
        *,
        store: Operating,
        gate: Gate,
        limit: DeadLetterLimit,
        clock: Clock,
        on_paused: Callable[[], None] = lambda: None,
        served: Callable[[], Sequence[str]],
        resume_after: float = 0.0,
    ) -> None:
        """``served`` returns the queues that this processor serves. ``on_paused`` is called for each pause."""
        self._store = store
        self._gate = gate
        self._limit = limit
        self._clock = clock
        self._on_paused = on_paused
        self._served = served
        self._resume_after = resume_after
        self._wanted: dict[str, str] = {}
        self._paused: set[str] = set()
        self._look_at = 0.0

    def want(self, queue: str, reason: str) -> None:
        """Pause ``queue`` in the next step. ``reason`` is that of the message that would have exceeded the limit."""
        if queue not in self._paused:
            self._wanted.setdefault(queue, f"{_REASON}, the last: {shorten(reason.partition(chr(10))[0])}")

    def step(self) -> bool:
        """Do what is due. Returns whether a queue was paused, so that none of its messages should start."""
        paused = [self._unless_deleted(self._pause, name, reason) for name, reason in tuple(self._wanted.items())]
        if self._resume_after and self._clock.steady() >= self._look_at:
            self._look_at = self._clock.steady() + _LOOK_SECONDS
            for name in self._served():
                self._unless_deleted(self._resume_if_over, name)
        return any(paused)

    def _unless_deleted(self, step: Callable[..., bool | None], name: str, *arguments: str) -> bool:
        """Do ``step``; forget a queue that an operator has deleted. Returns whether it was paused."""
        try:
            return bool(step(name, *arguments))
        except UnknownQueue:
            self._wanted.pop(name, None)
            self._paused.discard(name)
            return False

    def lent(self, name: str) -> None:
        """Note that messages of ``name`` were lent, so it is not paused any more."""
        if name in self._paused:
            self._paused.discard(name)
            self._limit.forget(name)
            _log.info("Queue %s is resumed", shorten(name))

    def _pause(self, name: str, reason: str) -> bool:
        is_new = self._gate.attempt(lambda: self._store.pause(name, reason))
        if is_new is None:
            return False  # the store is unavailable; settlements wait as well
        del self._wanted[name]
        self._paused.add(name)
        if is_new:
            self._on_paused()
            _log.error("Paused queue %s: %s; resume it with fmq resume", shorten(name), reason)
        return True

    def _resume_if_over(self, name: str) -> None:
        pause = self._gate.attempt(lambda: self._store.paused(name), writes=False)
        if pause is None or not pause.reason.startswith(_REASON):
            return
        if self._clock.wall() - pause.since >= self._resume_after:
            self._gate.attempt(lambda: self._store.resume(name))
