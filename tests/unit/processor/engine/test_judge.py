"""What becomes of messages whose calls ended well, and what that says of the handler's target."""

import random
from collections.abc import Sequence
from typing import Any, cast

import pytest

from fmq.backoff import Backoff
from fmq.message import Claim, Message
from fmq.outcome import RetryPolicy
from fmq_processor.engine.judge import Judge
from fmq_processor.engine.mistakes import Mistakes
from fmq_processor.engine.verdict import Kind
from fmq_processor.guards.circuit_breaker import Breaker, Failure, Observer
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.job import Finished, Job
from support.clock import FakeClock


def _breaker(clock: FakeClock) -> Breaker:
    backoff, observer = Backoff(1.0, 60.0, 0.0), cast("Observer", None)  # it does not open here
    return Breaker(failures=5, backoff=backoff, clock=clock, rng=random.Random(1), observer=observer)


def _judge(breaker: Breaker, clock: FakeClock) -> Judge:
    return Judge(
        policy=RetryPolicy(),
        rng=random.Random(1),
        breaker=breaker,
        limit=DeadLetterLimit(most=0, share=0.0, clock=clock),
        mistakes=Mistakes(3, clock=clock),
        on_too_many=lambda _queue, _reason: None,
    )


def _claims(*numbers: int) -> Sequence[Claim]:
    return [Claim(Message(number, "q", "t", b"", 0.0), token=1, lease_until=9.0) for number in numbers]


@pytest.mark.parametrize("result", [None, True, [None] * 3, [None, True, None]], ids=repr)
@pytest.mark.parametrize("troubled", [False, True])
def test_a_batch_that_succeeds(result: Any, *, troubled: bool) -> None:  # noqa: ANN401 - a handler's result
    """All of its messages are done, whatever form the result has, and the failures of each of them are forgotten."""
    clock = FakeClock()
    breaker = _breaker(clock)
    claims = _claims(1, 2, 3)
    if troubled:
        for claim in claims:
            breaker.failed(claim.message, Failure("refused", is_unavailable=True))
            breaker.succeeded(Message(9, "q", "t", b"", 0.0))  # otherwise the circuit would open
    assert breaker.is_calm is not troubled
    call = Finished(Job(claims, is_batch=True), result, 0.0, 0.0)
    verdicts = _judge(breaker, clock).ended([call])
    assert [(verdict[0], verdict[2]) for verdict in verdicts] == [(claim, Kind.DONE) for claim in claims]
    assert breaker.is_calm


def test_calls_that_ended_in_different_ways() -> None:
    """Each message gets the verdict on its own call, in the order of the calls."""
    clock = FakeClock()
    calls = [
        Finished(Job(_claims(number)), result, 0.0, 0.0)
        for number, result in enumerate([None, ValueError("x"), True, False])
    ]
    verdicts = _judge(_breaker(clock), clock).ended(calls)
    assert [(verdict[0].message.id, verdict[2]) for verdict in verdicts] == [
        (0, Kind.DONE),
        (1, Kind.RETRY),
        (2, Kind.DONE),
        (3, Kind.RETRY),
    ]
