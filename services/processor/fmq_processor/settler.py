"""Turns results into outcomes, and settles many of them in one commit."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from fmq.log import shorten
from fmq.message import Claim
from fmq.metrics import ProcessorMetrics
from fmq.outcome import Dead, Done, GiveBack, Outcome, RetryLater, RetryPolicy, Settlement, decide
from fmq.queue import Queue
from fmq_processor.gate import Gate
from fmq_processor.job import Job, results
from fmq_processor.reading import Skipped, Unreadable
from fmq_processor.summary import Summary

_log = logging.getLogger(__name__)
_DONE = Done()
_GIVE_BACK = GiveBack()
_Batch = list[tuple[Claim, Settlement]]


class Settler:
    """Keeps outcomes until their commit has succeeded: as many as the worker holds, at most."""

    def __init__(
        self,
        *,
        queue: Queue,
        gate: Gate,
        policy: RetryPolicy,
        rng: random.Random,
        metrics: ProcessorMetrics,
        summary: Summary,
        on_retry: Callable[[float], None] = lambda _: None,
    ) -> None:
        """``on_retry`` is told the delay of each retry once it is stored."""
        self._queue = queue
        self._gate = gate
        self._policy = policy
        self._rng = rng
        self._metrics = metrics
        self._summary = summary
        self._on_retry = on_retry
        self._unsettled: _Batch = []
        self._stale_burst = False

    def __len__(self) -> int:
        """How many messages wait for their commit."""
        return len(self._unsettled)

    def judge(self, job: Job, result: object) -> None:
        """Note what a call made of its messages."""
        if result is None or result is True:  # nearly always, and short cuts count here
            self._unsettled.extend([(claim, _DONE) for claim in job.claims])
            return
        for claim, one in zip(job.claims, results(job, result), strict=True):
            self._unsettled.append((claim, self._decide(claim, one)))

    def refuse(self, claim: Claim) -> bool:
        """Whether ``claim`` has used up its attempts without a settlement; it is dead then, and not handled."""
        if not self._policy.exhausted(claim.attempt - 1):
            return False
        reason = f"its worker died or hung in each of {claim.attempt - 1} attempts"
        self._unsettled.append((claim, Dead(reason)))
        return True

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

    def _decide(self, claim: Claim, result: object) -> Outcome:
        if isinstance(result, Skipped | Unreadable):
            return result
        try:
            return decide(result, attempt=claim.attempt, policy=self._policy, rng=self._rng)
        except Exception as error:  # noqa: BLE001 - such as Retry(after="soon")
            return decide(error, attempt=claim.attempt, policy=self._policy, rng=self._rng)

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
        done: Counter[str] = Counter()
        for claim, outcome in batch:
            if outcome is _DONE:
                done[claim.message.queue] += 1
            elif isinstance(outcome, Skipped):
                self._metrics.processed.labels(claim.message.queue, "skipped").inc()
                self._summary.skipped += 1
            elif isinstance(outcome, Done):
                done[claim.message.queue] += 1
            elif not isinstance(outcome, GiveBack):
                failed.append((claim, outcome))
        for queue, count in done.items():
            self._metrics.processed.labels(queue, "done").inc(count)
            self._summary.done += count
        for claim, outcome in failed:
            self._tell(claim, outcome)

    def _tell(self, claim: Claim, outcome: Settlement) -> None:
        message, metrics = claim.message, self._metrics
        known = {"queue": message.queue, "message_id": message.id, "topic": shorten(message.topic)}
        metrics.failures.labels(message.queue).inc()
        self._summary.failed += 1
        if isinstance(outcome, Dead):
            metrics.processed.labels(message.queue, "dead").inc()
            metrics.dead_lettered.labels(message.queue).inc()
            if isinstance(outcome, Unreadable):
                metrics.unreadable.labels(message.queue).inc()
            self._summary.dead += 1
            reason = outcome.reason.partition("\n")[0]
            _log.warning("Message %d of %s is dead: %s", message.id, shorten(message.queue), reason, extra=known)
        elif isinstance(outcome, RetryLater):
            metrics.processed.labels(message.queue, "retry").inc()
            metrics.retries.labels(message.queue).inc()
            self._on_retry(outcome.delay)
            _log.debug(
                "Attempt %d of message %d failed, again in %.1f s: %s",
                claim.attempt,
                message.id,
                outcome.delay,
                outcome.reason,
                extra=known,
            )
