"""Settles many messages in one commit, and counts what became of them."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from fmq.clock import Clock
from fmq.log import shorten
from fmq.message import Claim
from fmq.metrics import ProcessorMetrics, observe_many
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.queue import Queue
from fmq_processor.dead_letter_limit import DeadLetterLimit
from fmq_processor.gate import Gate
from fmq_processor.job import Job
from fmq_processor.judge import DONE, Deferred, Expired, Judge
from fmq_processor.reading import Postponed, Skipped
from fmq_processor.summary import Summary

_log = logging.getLogger(__name__)
_GIVE_BACK = GiveBack()
_DEAD_LINES = 10
"""Log lines about single dead letters between two summaries."""
_Batch = list[tuple[Claim, Settlement]]


class Settler:
    """Keeps outcomes until their commit has succeeded: as many as the worker holds, at most."""

    def __init__(
        self,
        *,
        queue: Queue,
        gate: Gate,
        judge: Judge,
        limit: DeadLetterLimit,
        metrics: ProcessorMetrics,
        summary: Summary,
        clock: Clock,
        on_delay: Callable[[float], None] = lambda _: None,
    ) -> None:
        """``on_delay`` is told each delay after which a message is due again, once it is stored."""
        self._queue = queue
        self._gate = gate
        self._judge = judge
        self._limit = limit
        self._metrics = metrics
        self._summary = summary
        self._clock = clock
        self._on_delay = on_delay
        self._unsettled: _Batch = []
        self._stale_burst = False

    def __len__(self) -> int:
        """How many messages wait for their commit."""
        return len(self._unsettled)

    def judge(self, job: Job, result: object) -> None:
        """Note what a call made of its messages."""
        self._unsettled += self._judge.settlements(job, result)

    def interrupt(self, job: Job) -> None:
        """Note that a call could not be waited for."""
        self._unsettled += self._judge.interrupted(job)

    def refuse(self, claim: Claim) -> bool:
        """Whether ``claim`` is settled without being handled: it has expired, or used up its attempts."""
        settlement = self._judge.beforehand(claim)
        if settlement is not None:
            self._unsettled.append((claim, settlement))
        return settlement is not None

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Note that ``claims`` were never tried."""
        self._unsettled.extend((claim, _GIVE_BACK) for claim in claims)

    def flush(self) -> bool:
        """Settle what there is. Returns whether nothing is left."""
        if not self._unsettled:
            return True
        batch = self._unsettled
        began = time.perf_counter()
        stale = self._gate.attempt(lambda: self._queue.settle(batch))
        if stale is None:
            return False
        self._metrics.settle_seconds.observe(time.perf_counter() - began)
        self._unsettled = []
        for queue, count in Counter(claim.message.queue for claim, _ in batch).items():
            self._metrics.in_progress.labels(queue).dec(count)
        self._count(self._without(stale, batch))
        return True

    def _without(self, stale: Sequence[Claim], batch: _Batch) -> _Batch:
        """What of ``batch`` took effect."""
        if not stale:
            self._stale_burst = False
            return batch
        for queue, count in Counter(claim.message.queue for claim in stale).items():
            self._metrics.stale_settlements.labels(queue).inc(count)
        if not self._stale_burst:
            self._stale_burst = True
            _log.warning("%d messages were settled too late: their lease had run out, they come again", len(stale))
        gone = {(claim.message.queue, claim.message.id) for claim in stale}
        return [(claim, outcome) for claim, outcome in batch if (claim.message.queue, claim.message.id) not in gone]

    def _count(self, batch: _Batch) -> None:
        failed: _Batch = []
        done: dict[str, list[float]] = defaultdict(list)
        for claim, outcome in batch:
            if outcome is DONE:
                done[claim.message.queue].append(claim.message.received_at)
            elif isinstance(outcome, Skipped):
                self._metrics.processed.labels(claim.message.queue, "skipped").inc()
                self._summary.skipped += 1
            elif isinstance(outcome, Postponed):
                self._on_delay(outcome.delay or 0.0)
            elif isinstance(outcome, Expired):
                self._metrics.processed.labels(claim.message.queue, "expired").inc()
                self._summary.expired += 1
            elif isinstance(outcome, Done):
                done[claim.message.queue].append(claim.message.received_at)
            elif isinstance(outcome, Deferred) or not isinstance(outcome, GiveBack):
                failed.append((claim, outcome))
        now = self._clock.wall()
        for queue, received in done.items():
            self._metrics.processed.labels(queue, "done").inc(len(received))
            observe_many(self._metrics.time_in_system_seconds.labels(queue), [max(0.0, now - at) for at in received])
            self._metrics.last_done.labels(queue).set(now)
            self._summary.done += len(received)
            self._limit.done(queue, len(received))
        for claim, outcome in failed:
            self._tell(claim, outcome)

    def _tell(self, claim: Claim, outcome: Settlement) -> None:
        message, metrics = claim.message, self._metrics
        known: dict[str, object] = {"queue": message.queue, "message_id": message.id, "topic": shorten(message.topic)}
        metrics.failures.labels(message.queue).inc()
        self._summary.failed += 1
        if isinstance(outcome, Dead):
            metrics.processed.labels(message.queue, "dead").inc()
            metrics.dead_lettered.labels(message.queue, outcome.cause).inc()
            self._summary.dead += 1
            self._tell_dead(claim, outcome, known)
        elif isinstance(outcome, RetryLater | Deferred):
            if isinstance(outcome, Deferred):
                metrics.processed.labels(message.queue, "deferred").inc()
            else:
                metrics.processed.labels(message.queue, "retry").inc()
                metrics.retries.labels(message.queue, outcome.cause).inc()
            delay = outcome.delay or 0.0
            self._on_delay(delay)
            _log.debug(
                "Attempt %d of message %d failed, again in %.1f s: %s",
                claim.attempt,
                message.id,
                delay,
                outcome.reason,
                extra=known,
            )

    def _tell_dead(self, claim: Claim, letter: Dead, known: dict[str, object]) -> None:
        """The first few of each summary's period; the summary counts them all."""
        if self._summary.dead <= _DEAD_LINES:
            reason, queue = letter.reason.partition("\n")[0], shorten(claim.message.queue)
            _log.warning("Message %d of %s moved to dead letters: %s", claim.message.id, queue, reason, extra=known)
        elif self._summary.dead == _DEAD_LINES + 1:
            _log.warning("More messages moved to dead letters; the next summary counts them, fmq dead list shows them")
