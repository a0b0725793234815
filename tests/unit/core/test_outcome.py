"""What a handler's result means."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.backoff import Backoff
from fmq.outcome import (
    LONGEST_DELAY,
    REASON_LIMIT,
    Cause,
    Dead,
    Done,
    Outcome,
    Reject,
    Retry,
    RetryLater,
    RetryPolicy,
    Unavailable,
    decide,
    describe,
)

POLICY = RetryPolicy(max_retries=3, backoff=Backoff(initial=2.0, maximum=60.0, jitter=0.0))


def outcome_of(result: object, attempt: int = 1) -> Outcome:
    return decide(result, attempt=attempt, policy=POLICY, rng=random.Random(1))


@pytest.mark.parametrize("result", [None, True, 0, "", [], {}, object(), 3.5, b"x", Done()])
def test_anything_but_a_failure_is_done(result: object) -> None:
    """Only False, an exception and the outcomes themselves say otherwise; falsy nonsense is done as well."""
    assert outcome_of(result) == Done()


def test_false_is_a_retry_by_the_backoff() -> None:
    """Each failure doubles the delay."""
    assert [outcome_of(False, attempt) for attempt in (1, 2, 3)] == [
        RetryLater(delay, "the handler returned False", Cause.RETURNED_FALSE) for delay in (2.0, 4.0, 8.0)
    ]


def test_the_attempt_after_the_last_retry_is_dead_and_keeps_the_reason() -> None:
    """With 3 retries the fourth attempt is the last, and the dead letter tells why."""
    assert outcome_of(ValueError("no"), 4) == Dead("gave up after 4 attempts: ValueError: no", Cause.EXCEPTION)


def test_no_retries_means_one_attempt() -> None:
    """max_retries 0: the first failure is the end."""
    policy = RetryPolicy(max_retries=0)
    assert isinstance(decide(False, attempt=1, policy=policy, rng=random.Random(1)), Dead)


def test_reject_is_dead_at_once() -> None:
    """Whatever attempts are left."""
    assert outcome_of(Reject("malformed")) == Dead("malformed")


def test_a_class_of_failures_is_a_failure() -> None:
    """Somebody who returns it has forgotten the parentheses: the message was not handled."""
    assert decide(Reject, attempt=1, policy=POLICY, rng=random.Random(1)) == Dead(
        "rejected by the handler", Cause.REJECTED
    )
    for one in (Retry, Unavailable, ValueError, Dead, RetryLater):
        outcome = decide(one, attempt=1, policy=POLICY, rng=random.Random(1))
        assert isinstance(outcome, RetryLater)
        assert outcome.reason == f"the handler returned the class {one.__name__} instead of an instance"
    assert decide(int, attempt=1, policy=POLICY, rng=random.Random(1)) == Done()


def test_retry_says_when() -> None:
    """Its delay wins over the backoff; without one the backoff holds; it uses up attempts like any failure."""
    assert outcome_of(Retry(after=0.5, reason="busy")) == RetryLater(0.5, "busy")
    assert outcome_of(Retry()) == RetryLater(2.0, "the handler asked for a retry")
    assert outcome_of(RetryLater(7)) == RetryLater(7, "the handler asked for a retry")
    assert outcome_of(Retry(after=-3)) == RetryLater(0.0, "the handler asked for a retry")
    assert isinstance(outcome_of(Retry(after=1), 4), Dead)


def test_a_target_that_is_unavailable_is_a_retry() -> None:
    """Then, if the target said when; else by the backoff."""
    assert outcome_of(Unavailable()) == RetryLater(2.0, "the target is unavailable", Cause.UNAVAILABLE)
    assert outcome_of(Unavailable(after=30, reason="503")) == RetryLater(30, "503", Cause.UNAVAILABLE)


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (ValueError("x"), Cause.EXCEPTION),
        (False, Cause.RETURNED_FALSE),
        (Retry(), Cause.ASKED),
        (RetryLater(1), Cause.ASKED),
        (Retry(reason="late", cause=Cause.TIMEOUT), Cause.TIMEOUT),
        (Unavailable(), Cause.UNAVAILABLE),
    ],
)
def test_a_failure_has_one_of_few_causes(result: object, cause: Cause) -> None:
    """The cause of a retry stays that of the dead letter that it becomes: metrics have it as a label."""
    for attempt in (1, 4):
        outcome = outcome_of(result, attempt)
        assert isinstance(outcome, RetryLater if attempt == 1 else Dead)
        assert outcome.cause is cause


@pytest.mark.parametrize("result", [Reject("no"), Dead("no")])
def test_what_a_handler_gives_up_is_rejected(result: object) -> None:
    """Whichever way it says so."""
    assert outcome_of(result) == Dead("no", Cause.REJECTED)


@pytest.mark.parametrize("after", [float("nan"), float("inf"), float("-inf"), "soon", True, b"5", [], 5j])
def test_a_delay_that_is_no_number_of_seconds_is_that_of_the_backoff(after: object) -> None:
    """And the reason says so: a message due at infinity would be lost without a trace."""
    outcome = outcome_of(Retry(after=after, reason="busy"))  # type: ignore[arg-type]
    assert isinstance(outcome, RetryLater)
    assert 0 <= outcome.delay < 100
    assert outcome.reason == f"busy (its delay of {after!r} is not a number of seconds up to a year)"


@pytest.mark.parametrize("after", [10**400, 1e308, LONGEST_DELAY + 1, 1764367200])
def test_a_delay_of_more_than_a_year_is_that_of_the_backoff(after: float) -> None:
    """Such as a time in place of a delay: nobody would see the message again."""
    for result in (Retry(after=after), Unavailable(after=after), RetryLater(after)):
        outcome = outcome_of(result)
        assert isinstance(outcome, RetryLater)
        assert 0 <= outcome.delay < 100
        assert "is not a number of seconds up to a year" in outcome.reason


@pytest.mark.parametrize(
    ("after", "delay"), [(-(10**400), 0.0), (-1e308, 0.0), (0, 0.0), (7, 7.0), (LONGEST_DELAY, LONGEST_DELAY)]
)
def test_other_delays_are_followed(after: float, delay: float) -> None:
    """A negative one is none."""
    for result in (Retry(after=after), Unavailable(after=after), RetryLater(after)):
        outcome = outcome_of(result)
        assert isinstance(outcome, RetryLater)
        assert outcome.delay == delay


class _Seconds(float):
    """As NumPy's float64: a class of its own."""

    def __add__(self, other: object) -> float:
        raise RuntimeError("no addition")

    __radd__ = __add__

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no format")


class _Changing:
    """Says that it is a Done when it is asked for the first time, and then raises."""

    asked = False

    @property
    def __class__(self) -> type:
        if self.asked:
            raise RuntimeError("no class")
        self.asked = True
        return Done

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError


def test_an_outcome_holds_nothing_of_a_handlers_own_classes() -> None:
    """The settlement and the log use it outside of what is guarded: it must not raise there."""
    for result in (Retry(after=_Seconds(7)), Unavailable(after=_Seconds(7)), RetryLater(_Seconds(7))):
        outcome = outcome_of(result)
        assert isinstance(outcome, RetryLater)
        assert (type(outcome.delay), outcome.delay) == (float, 7.0)
    assert type(outcome_of(_Changing())) is Done


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_base_exception_is_a_failure_like_others(error: BaseException) -> None:
    """A handler that calls sys.exit() has not handled its message."""
    assert isinstance(outcome_of(error), RetryLater)


def test_the_reason_names_the_error_then_where_it_was_raised() -> None:
    """First line for lists, then the frames, innermost first."""

    def fail() -> None:
        raise KeyError("sensor")

    with pytest.raises(KeyError) as caught:
        fail()
    first, second, *_ = describe(caught.value).split("\n")
    assert first == "KeyError: 'sensor'"
    assert second.startswith("  at fail (")
    assert "test_outcome.py" in second


@pytest.mark.parametrize("reason", ["x" * 100_000, "lone \ud800 surrogate", 5, None])
def test_reasons_are_short_text_that_a_store_takes(reason: str) -> None:
    """A handler may pass anything; settling must not fail over it."""
    for result in (Dead(reason), Reject(reason), Retry(reason=reason), RetryLater(1, reason), ValueError(reason)):
        for attempt in (1, 4):
            outcome = outcome_of(result, attempt)
            assert isinstance(outcome, Dead | RetryLater)
            assert len(outcome.reason) <= REASON_LIMIT + 10
            outcome.reason.encode()


def test_an_error_that_cannot_be_printed_is_still_a_reason() -> None:
    """Exceptions with a broken __str__ exist."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert isinstance(outcome_of(Broken()), RetryLater)


@given(
    attempt=st.integers(1, 100_000),
    initial=st.floats(0, 1e4),
    maximum=st.floats(0, 1e5),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
def test_the_backoff_is_never_negative_nor_above_its_maximum(
    attempt: int, initial: float, maximum: float, jitter: float, seed: int
) -> None:
    """For every attempt, without an overflow."""
    delay = Backoff(initial, maximum, jitter).delay(attempt, random.Random(seed))
    assert 0 <= delay <= maximum


def test_the_backoff_doubles_and_varies() -> None:
    """Without jitter it doubles up to its maximum; with jitter two workers don't come back together."""
    plain = Backoff(1, 10, 0)
    assert [plain.delay(attempt, random.Random(1)) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    jittered = Backoff(8, 100, 0.5)
    delays = {jittered.delay(1, random.Random(seed)) for seed in range(20)}
    assert len(delays) > 10
    assert all(4 <= delay <= 8 for delay in delays)


def test_functions_that_ask_for_it_are_not_in_the_reason() -> None:
    """Those of fmq around a handler: its own lines are the ones that people need."""

    def handle() -> None:
        raise ValueError("no such sensor")

    def around() -> None:
        __tracebackhide__ = True
        handle()

    with pytest.raises(ValueError, match="no such sensor") as caught:
        around()
    text = describe(caught.value)
    assert text.startswith("ValueError: no such sensor\n  at handle (")
    assert "around" not in text
