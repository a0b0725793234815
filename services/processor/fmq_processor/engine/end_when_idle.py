"""``fmq process --drain``: ends a processor when nothing is due, and reports what is left."""

import logging
import math
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import Counter

from fmq.cli.common.output import counted
from fmq.clock import Clock
from fmq.errors import StoreUnavailable, UnknownQueue
from fmq.service.lifecycle import Shutdown
from fmq.service.log import shorten
from fmq.service.metrics import ProcessorMetrics
from fmq.store.roles import Operating, Statistics
from fmq_processor.engine.worker import Worker

EXIT_LEFT = 8
"""The exit code of a drain that left due messages, or in which messages died."""
_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_HANDLED = frozenset({"done", "skipped", "expired"})


class Readable(Statistics, Operating, Protocol):
    """What a drain reads of the store."""


class EndWhenIdle:
    """Requests the shutdown when the workers hold nothing and find nothing to claim.

    An open circuit breaker or a retry that is due later ends it too, unless it is over within ``patience`` seconds after the
    last message was handled. So a target that is down can't keep it running.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        store: Readable,
        metrics: ProcessorMetrics,
        shutdown: Shutdown,
        clock: Clock,
        patience: float = 0.0,
    ) -> None:
        """``store`` is for the thread that calls ``after_turn`` and ``report``."""
        self._workers = workers
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
        """Log what is left. Returns whether every due message was handled and none died. Raises QueueError."""
        died = int(_total(self._metrics.dead_lettered) - self._died_before)
        down = {name for worker in self._workers if _probe_at(worker) is not None for name in worker.claiming.served}
        left = [self._is_left(name, is_down=name in down) for name in self._served()]
        if died:
            _log.error("%s moved to dead letters; fmq dead list shows them", counted(died, "message"))
        if not self._is_over:
            _log.error("Stopped before the queues were drained")
        elif not any(left):
            _log.info("Drained: nothing is due in %s", counted(len(left), "queue"))
        return self._is_over and not died and not any(left)

    def _is_idle(self) -> bool:
        """Whether two looks in a row have found nothing: a worker may have given messages to another one after its first look."""
        if any(worker.holds for worker in self._workers):
            self._is_second_look = False
            return False
        if not all(worker.claiming.found_nothing or _probe_at(worker) is not None for worker in self._workers):
            return False
        if not self._is_second_look:
            self._is_second_look = True
            for worker in self._workers:
                worker.claiming.look_again()
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
        probes = [at for worker in self._workers if (at := _probe_at(worker)) is not None]
        if probes and min(probes) <= end:
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

    def _is_left(self, name: str, *, is_down: bool) -> bool:
        """Log what is left in a queue. Returns whether any of it is due."""
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
        if stats.pending and is_down:
            text = "Queue %s: %s left, since the handler's target is down"
            _log.error(text, queue, counted(stats.pending, "message"))
            return True
        seconds = self._next_due(name)
        if stats.pending and seconds < math.inf:
            at = datetime.fromtimestamp(self._clock.wall() + seconds, UTC).isoformat(timespec="seconds")
            text = "Queue %s: %s waiting for later; the next one is due in %.1f s, at %s"
            _log.info(text, queue, counted(stats.pending, "message"), seconds, at)
        return False

    def _served(self) -> Sequence[str]:
        return list(dict.fromkeys(name for worker in self._workers for name in worker.claiming.served))


def _probe_at(worker: Worker) -> float | None:
    return worker.claiming.probe_at


def _total(counter: Counter, outcomes: Container[str] | None = None) -> float:
    """The sum of all series of a counter, or of those with one of ``outcomes``."""
    samples = [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
    return sum(one.value for one in samples if outcomes is None or one.labels["outcome"] in outcomes)
