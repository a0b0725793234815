"""Counts and logs what happened to messages, after it has happened."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from fmq.clock import Clock
from fmq.message import Claim
from fmq.outcome import Dead, GiveBack, RetryLater, Settlement
from fmq.service.log import shorten
from fmq.service.metrics import ProcessorMetrics, observe_many
from fmq_processor.engine.outbox import Committed
from fmq_processor.engine.summary import Summary
from fmq_processor.engine.verdict import COUNTED, FAILED, Kind, Verdict
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.job import Finished, Job
from fmq_processor.routing.parking import NOBODY

_log = logging.getLogger(__name__)
_DONE = Kind.DONE  # looked up for each message
_QUEUE = attrgetter("queue")
_DEAD_LINES = 10
"""Log lines about single dead letters between two summaries."""


class Accounting:
    """Metrics and logs of handled messages."""

    def __init__(
        self,
        metrics: ProcessorMetrics,
        *,
        route: str,
        summary: Summary,
        limit: DeadLetterLimit,
        clock: Clock,
        on_delay: Callable[[float], None],
        on_parked: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``on_delay`` receives each delay after which a message is due again.

        ``on_parked`` receives the name of each route that messages were set aside for.
        """
        self._metrics = metrics
        self._route = route
        self._outcomes = {kind: metrics.route_processed.labels(route, kind) for kind in COUNTED}
        self.summary = summary
        self._limit = limit
        self._clock = clock
        self._on_delay = on_delay
        self._on_parked = on_parked

    def ended(self, calls: Sequence[Finished]) -> None:
        """Observe how long calls took, and how long their messages waited for them."""
        to_wall = self._clock.wall() - time.perf_counter()
        handled: dict[str, list[float]] = defaultdict(list)
        waited: dict[str, list[float]] = defaultdict(list)
        for job, _, began, end in calls:
            queue = job.claims[0].message.queue
            handled[queue].append(end - began)
            began_at = began + to_wall
            waited[queue] += [began_at - one.message.received_at for one in job.claims if not one.message.retry_count]
        for queue, seconds in handled.items():
            observe_many(seconds, self._metrics.timed(self._metrics.handle_seconds, self._route, queue))
        for queue, seconds in waited.items():
            observe_many(seconds, self._metrics.timed(self._metrics.wait_seconds, self._route, queue))

    def timed_out(self, job: Job) -> None:
        """Count the messages of a call that timed out."""
        self._metrics.timeouts.labels(self._route).inc(len(job.claims))

    def committed(self, commit: Committed) -> None:
        """Count and log what a commit settled."""
        self._metrics.settle_seconds.observe(commit.seconds)
        if commit.stale:
            self._metrics.stale_settlements.labels(self._route).inc(len(commit.stale))
        done: dict[str, list[float]] = defaultdict(list)
        effective = commit.effective
        handled = [verdict[0].message for verdict in effective if verdict[2] is _DONE]
        for queue, some in groupby(handled, _QUEUE):
            done[queue] += [message.received_at for message in some]
        self._done(done)
        if len(handled) < len(effective):
            self._others([verdict for verdict in effective if verdict[2] is not _DONE])

    def _others(self, verdicts: Sequence[Verdict]) -> None:
        """Count and log what was not simply handled."""
        parked: Counter[str] = Counter()
        for verdict in verdicts:
            claim, settlement, kind, _ = verdict
            if kind in FAILED:
                self._failed(verdict)
            elif kind is Kind.PARKED:
                parked[_route(settlement)] += 1
            elif kind is Kind.POSTPONED:
                self._on_delay(_delay(settlement))
            elif kind is not Kind.GIVEN_BACK:
                self._count(claim.message.queue, kind)
        for route, count in parked.items():
            if route == NOBODY:
                self._metrics.unrouted.inc(count)
            else:
                self._metrics.route_parked.labels(route).inc(count)
                self._on_parked(route)

    def _count(self, queue: str, kind: Kind, count: int = 1) -> None:
        self._metrics.processed.labels(queue, kind).inc(count)
        self._outcomes[kind].inc(count)
        self.summary.count(kind, count)

    def _done(self, received: dict[str, list[float]]) -> None:
        now, metrics = self._clock.wall(), self._metrics
        for queue, times in received.items():
            self._count(queue, Kind.DONE, len(times))
            observe_many(
                [now - at for at in times],
                metrics.timed(metrics.time_in_system_seconds, self._route, queue),
                metrics.queue_seconds.labels(queue),
            )
            metrics.last_done.labels(queue).set(now)
            self._limit.done(queue, len(times))

    def _failed(self, verdict: Verdict) -> None:
        claim, settlement, kind, reason = verdict
        message, metrics = claim.message, self._metrics
        self._count(message.queue, kind)
        known = {"queue": message.queue, "message_id": message.id, "topic": shorten(message.topic)}
        match settlement:
            case Dead(cause=cause):
                metrics.dead_lettered.labels(self._route, cause).inc()
                self._log_dead(claim, reason, known)
                return
            case RetryLater(cause=cause):
                metrics.retries.labels(self._route, cause).inc()
        delay = _delay(settlement)
        self._on_delay(delay)
        text = "Attempt %d of message %d failed; next attempt in %.1f s: %s"
        _log.debug(text, claim.attempt, message.id, delay, reason, extra=known)

    def _log_dead(self, claim: Claim, reason: str, known: dict[str, object]) -> None:
        """Log the first few of each summary's period. The summary counts them all."""
        if self.summary.dead <= _DEAD_LINES:
            first_line, queue = reason.partition("\n")[0], shorten(claim.message.queue)
            _log.warning("Message %d of %s moved to dead letters: %s", claim.message.id, queue, first_line, extra=known)
        elif self.summary.dead == _DEAD_LINES + 1:
            _log.warning("More messages moved to dead letters. The next summary counts them; fmq dead list shows them")


def _route(settlement: Settlement) -> str:
    return (settlement.route or NOBODY) if isinstance(settlement, GiveBack) else NOBODY


def _delay(settlement: Settlement) -> float:
    return (settlement.delay or 0.0) if isinstance(settlement, RetryLater | GiveBack) else 0.0
