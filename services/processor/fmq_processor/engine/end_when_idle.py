"""``fmq process --drain``: ends a processor when nothing is due, and reports what is left."""

import logging
import math
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Counter

from fmq.clock import Clock
from fmq.errors import StoreUnavailable, UnknownQueue
from fmq.service.lifecycle import Shutdown
from fmq.service.log import shorten
from fmq.service.metrics import ProcessorMetrics
from fmq.store.roles import Operating, Parking, Statistics
from fmq.text import counted
from fmq_processor.engine.lane import Lane
from fmq_processor.engine.supervisor import Supervisor
from fmq_processor.routing.parking import NOBODY

EXIT_LEFT = 8
"""The exit code of a drain that left due messages, or in which messages died."""
_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_HANDLED = frozenset({"done", "skipped", "expired"})


class Readable(Statistics, Operating, Parking, Protocol):
    """What a drain reads of the store."""


class EndWhenIdle:
    """Requests the shutdown when the workers hold nothing and find nothing to claim.

    An open circuit breaker, a handler that can't be set up again or a retry that is due later ends it too, unless it is over
    within ``patience`` seconds after the last message was handled. So a target that is down can't keep it running.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        store: Readable,
        metrics: ProcessorMetrics,
        shutdown: Shutdown,
        clock: Clock,
        patience: float = 0.0,
    ) -> None:
        """``store`` is for the thread that calls ``after_turn`` and ``report``."""
        self._supervisor = supervisor
        self._store = store
        self._metrics = metrics
        self._shutdown = shutdown
        self._clock = clock
        self._patience = patience
        self._died_before = _total(metrics.dead_lettered)
        self._handled = 0.0
        self._handled_at = clock.steady()
        self._is_second_look = False
        self._look_at = 0.0
        self._due_at = math.inf
        self._is_over = False

    def after_turn(self) -> None:
        """Request the shutdown if nothing is due."""
        if self._is_idle() and not self._is_worth_waiting():
            self._is_over = True
            self._shutdown.request()

    def report(self) -> bool:
        """Log what is left. Returns whether all queues exist, every due message was handled and none died. Raises QueueError."""
        died = int(_total(self._metrics.dead_lettered) - self._died_before)
        left = [self._is_left(name, down=self._down(name)) for name in self._served()]
        missing = {name for lane in self._supervisor.lanes for name in lane.worker.claiming.missing}
        left += [self._is_missing(name) for name in sorted(missing)]
        if died:
            _log.error("%s moved to dead letters; fmq dead list shows them", counted(died, "message"))
        if not self._is_over:
            _log.error("Stopped before the queues were drained")
        elif not any(left):
            _log.info("Drained: nothing is due in %s", counted(len(left), "queue"))
        return self._is_over and not died and not any(left)

    def _is_idle(self) -> bool:
        """Whether two looks in a row have found nothing: a worker may have given messages to another one after its first look."""
        lanes = self._supervisor.lanes
        if self._supervisor.holds or self._supervisor.neighbours.is_releasing:
            self._is_second_look = False
            return False
        if not all(lane.worker.claiming.found_nothing or _next_try(lane) is not None for lane in lanes):
            return False
        if not self._is_second_look:
            self._is_second_look = True
            for lane in lanes:
                lane.worker.claiming.look_again()
            return False
        handled = _total(self._metrics.processed, _HANDLED)
        if handled != self._handled:
            self._handled, self._handled_at = handled, self._clock.steady()
        return True

    def _is_worth_waiting(self) -> bool:
        """Whether something is due before the patience ends."""
        now, end = self._clock.steady(), self._handled_at + self._patience
        if now >= end:
            return False
        tries = [at for lane in self._supervisor.lanes if (at := _next_try(lane)) is not None]
        if tries and min(tries) <= end:
            return True
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._due_at = now + min(map(self._next_due, self._served()), default=math.inf)
        return self._due_at <= end

    def _next_due(self, name: str) -> float:
        """The seconds until the next delayed message of a queue is due; infinite if there is none, or the queue is paused."""
        try:
            number = None if self._store.paused(name) else self._store.next_retry(name)
            if number is None:
                return math.inf
            waiting = self._store.waiting(name, [number])
        except UnknownQueue:
            return math.inf
        except StoreUnavailable:
            return _LOOK_SECONDS  # the workers wait for the store as well
        return waiting[number].due_in if number in waiting else math.inf

    def _down(self, name: str) -> str:
        """Why a queue that is served gets no further, if it doesn't."""
        for lane in self._supervisor.lanes:
            if name in lane.worker.claiming.served:
                if lane.setup_at is not None:
                    return "the handler can't be set up again"
                if lane.worker.claiming.probe_at is not None:
                    return "the handler's target is down"
        return ""

    def _is_missing(self, name: str) -> bool:
        """Log that a queue does not exist, with the nearest names. Returns whether that is still so."""
        try:
            self._store.stats(name)
        except UnknownQueue as error:
            _log.error("%s", shorten(str(error)))
            return True
        return False

    def _is_left(self, name: str, *, down: str) -> bool:
        """Log what is left in a queue. Returns whether any of it is due, or waits for a route."""
        try:
            stats = self._store.stats(name)
            due = stats.pending - self._store.retrying(name, most=stats.pending + 1)
        except UnknownQueue:
            return False
        queue = shorten(name)
        if stats.claimed:
            _log.info("Queue %s: %s lent to other processors", queue, counted(stats.claimed, "message"))
        if stats.paused:
            if due > 0:
                due_text, reason = counted(due, "message"), stats.paused.reason
                _log.error("Queue %s: %s due, but the queue is paused: %s", queue, due_text, reason)
            return due > 0
        if stats.pending and down:
            _log.error("Queue %s: %s left, since %s", queue, counted(stats.pending, "message"), down)
            return True
        seconds = self._next_due(name)
        if stats.pending and seconds < math.inf:
            at = datetime.fromtimestamp(self._clock.wall() + seconds, UTC).isoformat(timespec="seconds")
            text = "Queue %s: %s waiting for later; the next one is due in %.1f s, at %s"
            _log.info(text, queue, counted(stats.pending, "message"), seconds, at)
        parked = self._store.parked(name, most=stats.pending) if stats.pending else {}
        for route, count in parked.items():
            why = "that no route takes" if route == NOBODY else f"set aside for the route {shorten(route)}"
            _log.error("Queue %s: %s left %s", queue, counted(count, "message"), why)
        return bool(parked)

    def _served(self) -> Sequence[str]:
        return list(dict.fromkeys(name for lane in self._supervisor.lanes for name in lane.worker.claiming.served))


def _next_try(lane: Lane) -> float | None:
    """When a route that gets no further tries again, in steady seconds. None: it does not have to."""
    return lane.setup_at if lane.setup_at is not None else lane.worker.claiming.probe_at


def _total(counter: Counter, outcomes: Container[str] | None = None) -> float:
    """The sum of all series of a counter, or of those with one of ``outcomes``."""
    samples = [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
    return sum(one.value for one in samples if outcomes is None or one.labels["outcome"] in outcomes)
