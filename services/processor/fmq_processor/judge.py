"""What becomes of a message, by what its handler made of it, what others' attempts tell of the target, and how many died."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fmq.clock import Clock
from fmq.message import Claim
from fmq.outcome import (
    Cause,
    Dead,
    Done,
    GiveBack,
    Outcome,
    Reject,
    Retry,
    RetryPolicy,
    Settlement,
    Unavailable,
    decide,
    delay_seconds,
    is_mistake,
)
from fmq_processor.breaker import Breaker, Failure
from fmq_processor.dead_letter_limit import DeadLetterLimit
from fmq_processor.job import Job, results, unusable
from fmq_processor.mistakes import Mistakes
from fmq_processor.reading import Postponed, Skipped, Unreadable

DONE = Done()


@dataclass(frozen=True, slots=True)
class Deferred(GiveBack):
    """Tried and failed, but through no fault of the message: ``reason`` says whose."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Expired(Done):
    """Done without the handler: its publisher wanted it handled within a time that has passed."""


_EXPIRED = Expired()


class Judge:
    """Decides. Keeps no message."""

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        rng: random.Random,
        breaker: Breaker,
        limit: DeadLetterLimit,
        on_too_many: Callable[[str, str], None],
        clock: Clock,
        expiry: bool = True,
    ) -> None:
        """``on_too_many`` is told the queue in which no more may die for now, and of what the next one would have.

        ``expiry``: whether the MQTT 5 Message Expiry Interval is heard.
        """
        self._clock = clock
        self._expiry = expiry
        self._policy = policy
        self._rng = rng
        self._breaker = breaker
        self._limit = limit
        self._on_too_many = on_too_many
        self._mistakes = Mistakes(policy.max_retries + 1, clock=clock)

    def settlements(self, job: Job, result: object) -> list[tuple[Claim, Settlement]]:
        """What follows for each message of ``job`` from what its call returned or raised."""
        if result is None or result is True:  # nearly always, and short cuts count here
            self._breaker.succeeded(job.claims[0].message)
            return [(claim, DONE) for claim in job.claims]
        return [(claim, self._safely(claim, one)) for claim, one in zip(job.claims, results(job, result), strict=True)]

    def interrupted(self, job: Job) -> list[tuple[Claim, Settlement]]:
        """What follows if ``job`` could not be waited for: that counts, and tells nothing of the target."""
        reason = Retry(after=0, reason="the processor stopped", cause=Cause.STOPPED)
        return [(claim, self._decide(claim, reason)) for claim in job.claims]

    def beforehand(self, claim: Claim) -> Settlement | None:
        """What follows without an attempt, if ``claim`` has expired or used up its attempts without a settlement.

        A message expires its Message Expiry Interval after its receipt (MQTT 5, section 3.3.2.3.3: the broker has taken
        off what it had waited there), by the store's own time: the wall clock may have been set meanwhile.
        """
        if self._policy.exhausted(claim.attempt - 1):
            reason = f"its worker died or hung in each of {claim.attempt - 1} attempts"
            return self._bury(claim, Dead(reason, Cause.WORKER_DIED))
        seconds = claim.message.properties.message_expiry_interval
        if seconds is None or not self._expiry or claim.waited < seconds:
            return None
        return _EXPIRED

    def _safely(self, claim: Claim, result: object) -> Settlement:
        try:
            return self._settlement(claim, result)
        except BaseException as error:  # noqa: BLE001 - a result's class may raise anything when it is looked at
            return self._settlement(claim, unusable(error))

    def _settlement(self, claim: Claim, result: object) -> Settlement:
        if isinstance(result, Skipped | Postponed):
            self._breaker.inconclusive(claim.message)
            return result
        if isinstance(result, Unreadable):
            self._breaker.inconclusive(claim.message)
            return self._bury(claim, result)
        outcome = self._decide(claim, result)
        if isinstance(outcome, Done):
            self._breaker.succeeded(claim.message)
            return outcome
        if isinstance(result, Dead | Reject):  # so the handler says of the message, whatever the target
            self._breaker.inconclusive(claim.message)
        elif is_mistake(result):  # so the handler's code is wrong, and its target may be well
            self._breaker.inconclusive(claim.message)
            self._mistakes.tell(claim, cast("Exception", result))
        else:
            delay = self._breaker.failed(claim.message, _failure(result, outcome.reason))
            if delay is not None:
                return Deferred(delay, outcome.reason)
        return self._bury(claim, outcome) if isinstance(outcome, Dead) else outcome

    def _bury(self, claim: Claim, letter: Dead) -> Settlement:
        queue = claim.message.queue
        if self._limit.admits(queue):
            return letter
        self._on_too_many(queue, letter.reason)
        return Deferred(None, letter.reason)

    def _decide(self, claim: Claim, result: object) -> Outcome:
        return decide(result, attempt=claim.attempt, policy=self._policy, rng=self._rng)


def _failure(result: object, reason: str) -> Failure:
    if not isinstance(result, Unavailable):
        return Failure(reason)
    return Failure(reason, is_unavailable=True, after=delay_seconds(result.after))
