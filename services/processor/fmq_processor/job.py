"""A call of the handler, and the result that each message gets from it."""

import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, NamedTuple

from fmq.message import Claim, held_bytes
from fmq.outcome import Cause, Dead, Done, Retry, RetryLater, describe


def size_of(claims: Sequence[Claim]) -> int:
    """The memory that their messages take, in bytes."""
    return held_bytes([claim.message for claim in claims])


class Job:
    """One call of the handler: a message, or a list of them for a batch handler."""

    __slots__ = ("argument", "claims", "is_batch", "seen_at")

    def __init__(self, claims: Sequence[Claim], *, is_batch: bool = False) -> None:
        self.claims = claims
        self.is_batch = is_batch
        self.argument: Any = [claim.message for claim in claims] if is_batch else claims[0].message
        self.seen_at: float | None = None
        """When it was first seen running, in steady seconds without those in which the runner stalled."""


class Finished(NamedTuple):
    """A call that returned, or raised ``result``; times are those of ``time.perf_counter``."""

    job: Job
    result: Any
    began: float
    ended: float


def are_all_done(results: Sequence[object]) -> bool:
    """Whether each of these results says at once that its message is done: nearly always, so that a short cut counts."""
    return not [one for one in results if one is not None and one is not True]


def results(job: Job, result: object) -> Sequence[object]:
    """One result, as ``fmq.outcome.decide`` takes it, for each message of ``job``."""
    count = len(job.claims)
    try:
        # At most one more than expected: a sequence of the handler's own class may never end.
        found = list(islice(spread(result, count), count + 1)) if job.is_batch else [result]
        found = [one if one is None or one is True else _never_ran(one) or one for one in found]
        if len(found) != count:
            raise ValueError(f"its length is {count}, but it does not yield {count} results")  # noqa: TRY301 - as its own errors
    except BaseException as error:  # noqa: BLE001 - a class of the handler's own may raise anything
        return [unusable(error)] * count
    return found


def unusable(error: BaseException) -> Retry:
    """The failure of a result that raises ``error`` when it is examined."""
    return Retry(reason=f"the handler's result can't be used: {describe(error)}", cause=Cause.BAD_RESULT)


def spread(result: object, count: int) -> Sequence[object]:
    """One result for each of the ``count`` messages that a batch handler got."""
    problem = _never_ran(result)
    if problem is not None:
        return [problem] * count
    if isinstance(result, None | bool | BaseException | Done | RetryLater | Dead):
        return [result] * count
    if isinstance(result, Sequence) and not isinstance(result, str | bytes | bytearray | memoryview):
        if len(result) == count:
            return result
        reason = f"the batch handler returned {len(result)} results for {count} messages"
        return [Retry(reason=reason, cause=Cause.BAD_RESULT)] * count
    if isinstance(result, Mapping | AbstractSet):
        reason = f"the batch handler returned a {type(result).__name__}: return None, a bool or a list of results"
        return [Retry(reason=reason, cause=Cause.BAD_RESULT)] * count
    return [None] * count


def _never_ran(result: object) -> Retry | None:
    """A failure if ``result`` shows that none of the handler's code ran, as for a generator."""
    if inspect.iscoroutine(result):
        result.close()  # otherwise Python warns that it was never awaited
        reason = "the handler returned a coroutine: an await is missing, or 'async' before its 'def'"
        return Retry(reason=reason, cause=Cause.BAD_RESULT)
    if inspect.isgenerator(result) or inspect.isasyncgen(result) or isinstance(result, map | filter):
        reason = "the handler returned a generator, map or filter, which runs nothing: return a list, or don't yield"
        return Retry(reason=reason, cause=Cause.BAD_RESULT)
    return None
