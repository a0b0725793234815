"""Decides what becomes of a message: by its result, by the state of the handler's target, by how many messages died."""

import random
from collections.abc import Callable, Sequence
from typing import cast

from fmq.message import NO_PROPERTIES, Claim
from fmq.outcome import (
    Cause,
    Dead,
    Done,
    GiveBack,
    Outcome,
    Reject,
    Retry,
    RetryPolicy,
    Unavailable,
    decide,
    delay_seconds,
    is_mistake,
)
from fmq_processor.engine.mistakes import Mistakes
from fmq_processor.engine.verdict import DONE, Kind, Verdict
from fmq_processor.guards.circuit_breaker import Breaker, Failure
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.job import Finished, Job, are_all_done, results, unusable
from fmq_processor.prepare.reading import Postponed, Skipped, Unreadable

_DONE = Kind.DONE  # looked up for each message


class Judge:
    """Turns results into verdicts. Keeps no message."""

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        rng: random.Random,
        breaker: Breaker,
        limit: DeadLetterLimit,
        mistakes: Mistakes,
        on_too_many: Callable[[str, str], None],
        expiry: bool = True,
    ) -> None:
        """``on_too_many`` receives a queue in which no more messages may die for now, and the reason of the next one.

        ``expiry``: whether messages expire by their MQTT 5 Message Expiry Interval.
        """
        self._expiry = expiry
        self._policy = policy
        self._rng = rng
        self._breaker = breaker
        self._limit = limit
        self._on_too_many = on_too_many
        self._mistakes = mistakes

    def ended(self, calls: Sequence[Finished]) -> list[Verdict]:
        """The verdict on each message of calls that have ended."""
        if self._breaker.is_calm and are_all_done([one.result for one in calls]):
            return [(claim, DONE, _DONE, "") for one in calls for claim in one.job.claims]
        return [verdict for one in calls for verdict in self.finished(one.job, one.result)]

    def finished(self, job: Job, result: object) -> list[Verdict]:
        """The verdict on each message of a job whose call returned or raised ``result``."""
        found: Sequence[object] = () if result is None or result is True else results(job, result)
        if are_all_done(found):
            if not self._breaker.is_calm:
                for claim in job.claims:
                    self._breaker.succeeded(claim.message)
            return [(claim, DONE, _DONE, "") for claim in job.claims]
        return [self._safely(claim, one) for claim, one in zip(job.claims, found, strict=True)]

    def interrupted(self, job: Job) -> list[Verdict]:
        """The verdict on each message of a job that could not be waited for: the attempt counts, the target is not blamed."""
        stopped = Retry(after=0, reason="the processor stopped", cause=Cause.STOPPED)
        return [_verdict(claim, self._decide(claim, stopped)) for claim in job.claims]

    @staticmethod
    def needs_all(claims: Sequence[Claim]) -> bool:
        """Whether ``beforehand`` is None for each message, which shows at once: nearly always."""
        return not any(claim.message.retry_count or claim.message.properties is not NO_PROPERTIES for claim in claims)

    def beforehand(self, claim: Claim) -> Verdict | None:
        """The verdict without an attempt on a message that has expired or used up its attempts; None if it has not.

        A message expires its Message Expiry Interval after its receipt (MQTT 5, section 3.3.2.3.3: the broker has already
        subtracted the time that it waited there), by the store's own time, since the wall clock may have been set meanwhile.
        """
        if self._policy.exhausted(claim.attempt - 1):
            reason = f"its worker died or hung in each of {claim.attempt - 1} attempts"
            return self._bury(claim, Dead(reason, Cause.WORKER_DIED))
        seconds = claim.message.properties.message_expiry_interval
        if seconds is None or not self._expiry or claim.waited < seconds:
            return None
        return claim, DONE, Kind.EXPIRED, ""

    def _safely(self, claim: Claim, result: object) -> Verdict:
        try:
            return self._judged(claim, result)
        except BaseException as error:  # noqa: BLE001 - a result's class may raise anything when it is examined
            return self._judged(claim, unusable(error))

    def _judged(self, claim: Claim, result: object) -> Verdict:
        breaker, message = self._breaker, claim.message
        match result:
            case Skipped():
                breaker.inconclusive(message)
                return claim, DONE, Kind.SKIPPED, ""
            case Postponed(delay):
                breaker.inconclusive(message)
                return claim, GiveBack(delay), Kind.POSTPONED, ""
            case Unreadable(reason):
                breaker.inconclusive(message)
                return self._bury(claim, Dead(reason, Cause.UNREADABLE))
        outcome = self._decide(claim, result)
        if isinstance(outcome, Done):
            breaker.succeeded(message)
            return claim, outcome, Kind.DONE, ""
        if isinstance(result, Dead | Reject):  # the handler judges the message, not its target
            breaker.inconclusive(message)
        elif is_mistake(result) or outcome.cause is Cause.BAD_RESULT:  # the handler is wrong, its target may be fine
            breaker.inconclusive(message)
            self._mistakes.log(claim, cast("Exception", result), outcome.reason)
        else:
            retry_in = breaker.failed(message, _failure(result, outcome.reason))
            if retry_in is not None:
                return claim, GiveBack(retry_in), Kind.DEFERRED, outcome.reason
        return self._bury(claim, outcome) if isinstance(outcome, Dead) else _verdict(claim, outcome)

    def _bury(self, claim: Claim, letter: Dead) -> Verdict:
        queue = claim.message.queue
        if self._limit.admits(queue):
            return _verdict(claim, letter)
        self._on_too_many(queue, letter.reason)
        return claim, GiveBack(None), Kind.DEFERRED, letter.reason

    def _decide(self, claim: Claim, result: object) -> Outcome:
        return decide(result, attempt=claim.attempt, policy=self._policy, rng=self._rng)


def _verdict(claim: Claim, outcome: Outcome) -> Verdict:
    if isinstance(outcome, Done):
        return claim, outcome, Kind.DONE, ""
    return claim, outcome, Kind.DEAD if isinstance(outcome, Dead) else Kind.RETRY, outcome.reason


def _failure(result: object, reason: str) -> Failure:
    if not isinstance(result, Unavailable):
        return Failure(reason)
    return Failure(reason, is_unavailable=True, after=delay_seconds(result.after))
