"""The outcomes of a handler's attempt, and the settlement that follows."""

import math
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from fmq.backoff import Backoff

REASON_LIMIT = 4_000
"""The longest reason kept with a message, in characters."""
LONGEST_DELAY = 365 * 86_400.0
"""The longest delay before a retry, in seconds. A larger value is probably a point in time, not a delay."""

_F = TypeVar("_F", bound=Callable[..., Any])


class Cause(StrEnum):
    """The cause of a failed attempt: the label ``reason`` of the metrics. The reason with it is text for people."""

    EXCEPTION = "exception"
    """The handler raised an exception."""
    RETURNED_FALSE = "returned_false"
    ASKED = "asked"
    """The handler asked for a retry."""
    UNAVAILABLE = "unavailable"
    """The handler's target is down."""
    REJECTED = "rejected"
    """The handler rejected the message."""
    BAD_RESULT = "bad_result"
    """The handler returned a value without a meaning."""
    UNREADABLE = "unreadable"
    """The payload can't be decoded or does not fit the handler's type, or the filter fails on it."""
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    """The lease ran out in every attempt."""
    STOPPED = "stopped"
    """The processor stopped while the handler ran."""


@dataclass(frozen=True, slots=True)
class Done:
    """Handled."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Not handled: try again ``delay`` seconds from now."""

    delay: float
    reason: str = ""
    cause: Cause = Cause.ASKED


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up: keep it as a dead letter with ``reason``."""

    reason: str
    cause: Cause = Cause.REJECTED


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Pending again without counting the attempt: at its old position, or due ``delay`` seconds from now.

    It stays what it was: one that may have killed its worker comes alone again.
    With ``route`` it is set aside: until the delay ends, only a claim for that route of a processor gets it.
    """

    delay: float | None = None
    route: str | None = None


Outcome = Done | RetryLater | Dead
Settlement = Done | RetryLater | Dead | GiveBack


class Reject(Exception):
    """Raised by a handler to move the message to dead letters at once."""

    cause = Cause.REJECTED

    def __init__(self, reason: str = "rejected by the handler") -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(Exception):
    """Raised by a handler to try the message again ``after`` seconds from now (default: by the backoff)."""

    def __init__(self, after: float | None = None, reason: str = "", cause: Cause = Cause.ASKED) -> None:
        super().__init__(reason or "the handler asked for a retry")
        self.after = after
        self.reason = reason or "the handler asked for a retry"
        self.cause = cause


class Unavailable(Retry):
    """Raised by a handler if its target is down or overloaded, so that other messages would fail as well.

    For a refused connection, a timeout, HTTP 429 or 503. For a failure of this message alone, raise Retry.
    """

    def __init__(self, after: float | None = None, reason: str = "the target is unavailable") -> None:
        super().__init__(after, reason, Cause.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to retry. ``max_retries`` retries follow the first attempt."""

    max_retries: int = 3
    backoff: Backoff = field(default_factory=Backoff)

    def exhausted(self, attempt: int) -> bool:
        """Whether no attempt may follow ``attempt`` (which counts from 1)."""
        return attempt > self.max_retries


def decide(result: object, *, attempt: int, policy: RetryPolicy, rng: random.Random) -> Outcome:
    """The outcome of ``result``, which is what a handler returned or the exception that it raised.

    ``False`` and any exception mean retry, ``Reject`` means dead at once, ``Retry`` a retry at the given time, an outcome means
    itself, anything else done. Of these, a class counts as a failure too. A retry beyond the policy's limit becomes a dead letter with the last reason and cause. An
    invalid delay (see ``delay_seconds``) has no effect, and the reason says so.
    """
    delay: object = None
    match result:
        case Done():
            return Done()  # not an instance of a handler's own subclass, which the settlement would examine
        case Dead() | Reject():
            return Dead(_shorten(result.reason), _cause(result.cause, Cause.REJECTED))
        case Retry():
            delay, reason, cause = result.after, _shorten(result.reason), _cause(result.cause, Cause.ASKED)
        case RetryLater():
            reason = _shorten(result.reason or "the handler asked for a retry")
            delay, cause = result.delay, _cause(result.cause, Cause.ASKED)
        case BaseException():
            reason, cause = _shorten(describe(result)), Cause.EXCEPTION
        case type() if issubclass(result, Reject):
            return Dead("rejected by the handler", Cause.REJECTED)
        case type() if issubclass(result, BaseException | Dead | RetryLater):
            reason, cause = (
                _shorten(f"the handler returned the class {result.__name__} instead of an instance"),
                Cause.EXCEPTION,
            )
        case False:
            reason, cause = "the handler returned False", Cause.RETURNED_FALSE
        case _:
            return Done()
    seconds = delay_seconds(delay)
    if delay is not None and seconds is None:
        reason = _shorten(f"{reason} (its delay of {_text(delay, repr)[:50]} is not a number of seconds up to a year)")
    if policy.exhausted(attempt):
        return Dead(_shorten(f"gave up after {attempt} attempts: {reason}"), cause)
    return RetryLater(policy.backoff.delay(attempt, rng) if seconds is None else seconds, reason, cause)


def delay_seconds(given: object) -> float | None:
    """``given`` as a delay from 0 to LONGEST_DELAY (0 if negative). None if it is longer or not a number."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        seconds = float(given)  # may be a handler's own class of numbers, whose methods may raise anything later
    except OverflowError:  # a large int
        return 0.0 if given < 0 else None
    return max(0.0, seconds) if -math.inf < seconds <= LONGEST_DELAY else None  # NaN is in no range


def describe(error: BaseException) -> str:
    """One line with the error, followed by the innermost frames of its traceback.

    Those of functions with a local variable ``__tracebackhide__``, as in pytest, are left out: fmq's own around a handler.
    """
    try:
        head = "".join(traceback.format_exception_only(error)).strip()
    except BaseException as another:  # noqa: BLE001 - whatever a handler's own exception class does
        head = f"{type(error).__name__} (its text can't be made: {type(another).__name__})"
    frames = [
        one for one in traceback.walk_tb(error.__traceback__) if "__tracebackhide__" not in one[0].f_code.co_varnames
    ]
    places = [f"  at {one.f_code.co_name} ({one.f_code.co_filename}:{line})" for one, line in frames[-3:]]
    return "\n".join([head, *reversed(places)])


def is_mistake(result: object) -> bool:
    """Whether ``result`` is an exception that shows a programming error in the handler."""
    return isinstance(result, _MISTAKES)


_MISTAKES = (NameError, ImportError, AttributeError, TypeError, SyntaxError, NotImplementedError, RecursionError)


def batch_handler(function: _F) -> _F:
    """Mark a handler as taking a list of messages at once.

    It returns None or a bool for all of them, or a sequence with one result for each.
    """
    function.__fmq_batch__ = True  # type: ignore[attr-defined]
    return function


def _shorten(reason: object) -> str:
    """``reason`` as text that any store accepts, whatever a handler passed: not too long, without lone surrogates."""
    text = reason if type(reason) is str else _text(reason, str)
    text = text if len(text) <= REASON_LIMIT else text[: REASON_LIMIT - 1] + "…"
    return text.encode(errors="backslashreplace").decode()


def _text(value: object, make: Callable[[object], str]) -> str:
    """``value`` as text, whatever its own methods do."""
    try:
        return "".join(make(value))
    except BaseException as error:  # noqa: BLE001 - a method of a handler's own class may raise anything
        return f"<{type(value).__name__} whose text can't be made: {type(error).__name__}>"


def _cause(given: object, otherwise: Cause) -> Cause:
    """A valid label, since metrics need few values."""
    return given if isinstance(given, Cause) else otherwise
