"""What a handler made of a message, and what follows from it. Pure."""

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
"""The longest delay before a retry, in seconds: beyond it a handler has rather passed a time than a delay."""

_F = TypeVar("_F", bound=Callable[..., Any])


class Cause(StrEnum):
    """Why an attempt failed, in few words: the label ``reason`` of the metrics. The text with it is for people."""

    EXCEPTION = "exception"
    """The handler raised one."""
    RETURNED_FALSE = "returned_false"
    ASKED = "asked"
    """The handler asked for a retry."""
    UNAVAILABLE = "unavailable"
    """What the handler calls is down."""
    REJECTED = "rejected"
    """The handler gave the message up."""
    BAD_RESULT = "bad_result"
    """What the handler returned means nothing."""
    UNREADABLE = "unreadable"
    """It can't be decoded, or the filter has no answer for it."""
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
    """Not handled: once more, ``delay`` seconds from now."""

    delay: float
    reason: str = ""
    cause: Cause = Cause.ASKED


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up: kept as a dead letter with ``reason``."""

    reason: str
    cause: Cause = Cause.REJECTED


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Pending again, and the attempt does not count: at its old place, or due ``delay`` seconds from now."""

    delay: float | None = None


Outcome = Done | RetryLater | Dead
Settlement = Done | RetryLater | Dead | GiveBack


class Reject(Exception):
    """Raised by a handler: this message is dead at once."""

    cause = Cause.REJECTED

    def __init__(self, reason: str = "rejected by the handler") -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(Exception):
    """Raised by a handler: try this message again, ``after`` seconds from now (by default as the backoff says)."""

    def __init__(self, after: float | None = None, reason: str = "", cause: Cause = Cause.ASKED) -> None:
        super().__init__(reason or "the handler asked for a retry")
        self.after = after
        self.reason = reason or "the handler asked for a retry"
        self.cause = cause


class Unavailable(Retry):
    """Raised by a handler: the target itself is down or asks us to hold off, so that other messages would fail as well.

    For a refused connection, a timeout, HTTP 429 or 503; what only this message suffers from is a plain Retry.
    """

    def __init__(self, after: float | None = None, reason: str = "the target is unavailable") -> None:
        super().__init__(after, reason, Cause.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon. ``max_retries`` retries follow the first attempt."""

    max_retries: int = 3
    backoff: Backoff = field(default_factory=Backoff)

    def exhausted(self, attempt: int) -> bool:
        """Whether no attempt may follow ``attempt`` (which counts from 1)."""
        return attempt > self.max_retries


def decide(result: object, *, attempt: int, policy: RetryPolicy, rng: random.Random) -> Outcome:
    """What follows from ``result``: what a handler returned, or the exception that it raised.

    ``False`` and any exception mean retry, ``Reject`` dead at once, ``Retry`` retry then, an outcome itself,
    anything else done. A retry beyond the policy's limit is a dead letter that keeps the last reason and cause. A delay
    that ``delay_seconds`` does not take has no effect, and the reason says so.
    """
    delay: object = None
    match result:
        case Done():
            return Done()  # and not one of a handler's own class, which the settlement looks at
        case Dead() | Reject():
            return Dead(_shorten(result.reason), _cause(result.cause, Cause.REJECTED))
        case Retry():
            delay, reason, cause = result.after, _shorten(result.reason), _cause(result.cause, Cause.ASKED)
        case RetryLater():
            reason = _shorten(result.reason or "the handler asked for a retry")
            delay, cause = result.delay, _cause(result.cause, Cause.ASKED)
        case BaseException():
            reason, cause = _shorten(describe(result)), Cause.EXCEPTION
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
    """``given`` as a delay from 0 to LONGEST_DELAY (a negative one is 0); None if it is more, or no number."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        seconds = float(given)  # also of a handler's own class of numbers, whose methods may raise anything later
    except OverflowError:  # a large int
        return 0.0 if given < 0 else None
    return max(0.0, seconds) if -math.inf < seconds <= LONGEST_DELAY else None  # NaN is in no range


def describe(error: BaseException) -> str:
    """One line with the error, then the innermost frames of its traceback."""
    try:
        head = "".join(traceback.format_exception_only(error)).strip()
    except BaseException as another:  # noqa: BLE001 - whatever a handler's own exception class does
        head = f"{type(error).__name__} (its text can't be made: {type(another).__name__})"
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return "\n".join([head, *(f"  at {frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))])


def is_mistake(result: object) -> bool:
    """Whether ``result`` is an exception that a mistake in the handler raises, and no target that is down."""
    return isinstance(result, _MISTAKES)


_MISTAKES = (NameError, ImportError, AttributeError, TypeError, SyntaxError, NotImplementedError, RecursionError)


def batch_handler(function: _F) -> _F:
    """Mark a handler as taking a list of messages at once.

    It returns None or a bool for all of them, or a sequence with one result for each.
    """
    function.__fmq_batch__ = True  # type: ignore[attr-defined]
    return function


def _shorten(reason: object) -> str:
    """``reason`` as text that any store takes: whatever a handler passed, not too long, no lone surrogates."""
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
    """A metric's label is one of a few."""
    return given if isinstance(given, Cause) else otherwise
