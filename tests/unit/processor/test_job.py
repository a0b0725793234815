"""What a call's result means for each of its messages."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fmq.message import Claim, Message
from fmq.outcome import Cause, Dead, Retry, RetryLater
from fmq_processor.job import Job, results


def job(count: int, *, is_batch: bool) -> Job:
    claims = [Claim(Message(number, "q", "t", b"", 0.0), token=1, lease_until=9.0) for number in range(count)]
    return Job(claims, is_batch=is_batch)


def test_a_plain_handler_gets_a_message_and_a_batch_handler_a_list() -> None:
    """Even if the list has one."""
    assert isinstance(job(1, is_batch=False).argument, Message)
    assert [message.id for message in job(3, is_batch=True).argument] == [0, 1, 2]
    assert len(job(1, is_batch=True).argument) == 1


@pytest.mark.parametrize("result", [None, True, False, ValueError("x"), RetryLater(1), Dead("y")])
def test_one_result_of_a_batch_counts_for_all(result: object) -> None:
    """None, a bool, an exception or an outcome."""
    assert list(results(job(3, is_batch=True), result)) == [result] * 3


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_sequence_has_one_result_each(kind: type) -> None:
    """In the order of the messages."""
    assert list(results(job(3, is_batch=True), kind([True, False, None]))) == [True, False, None]


@pytest.mark.parametrize("result", [[], [True], [True] * 4])
def test_a_sequence_of_the_wrong_length_fails_all(result: list[bool]) -> None:
    """Nobody can tell which message each result belongs to."""
    reasons = {one.reason for one in results(job(3, is_batch=True), result) if isinstance(one, Retry)}
    assert reasons == {f"the batch handler returned {len(result)} results for 3 messages"}


@pytest.mark.parametrize("result", ["abc", b"abc", 7, object()])
def test_nonsense_from_a_batch_is_done(result: object) -> None:
    """As with other handlers; text is not a sequence of results."""
    assert list(results(job(3, is_batch=True), result)) == [None] * 3


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_call_of_which_nothing_ran_is_a_failure(is_batch: bool) -> None:  # noqa: FBT001
    """A missing await, or a yield where a return was meant: the message was not handled."""

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    for result, told in (
        (coroutine(), "await is missing"),
        (generator(), "generator"),
        (async_generator(), "generator"),
    ):
        given = results(job(2 if is_batch else 1, is_batch=is_batch), result)
        assert len(given) == (2 if is_batch else 1)
        assert all(isinstance(one, Retry) and told in one.reason and one.cause is Cause.BAD_RESULT for one in given)
