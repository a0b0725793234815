"""The outcome of an answer."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

from fmq.outcome import Reject, Retry, Unavailable

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOLD_OFF = frozenset({401, 429, 502, 503, 504})
_RETRY = frozenset({408, 425})


class Answer(NamedTuple):
    """An answer: its header Retry-After, an excerpt of its body, and the target of a redirect."""

    status: int
    retry_after: str | None = None
    excerpt: str = ""
    location: str | None = None


def is_good(status: int) -> bool:
    """Whether the message is done."""
    return 200 <= status < 300


def judge(answer: Answer, *, now: float, longest: float, known: bool = False) -> None:
    """Return if the message is done. ``now`` is in Unix seconds, ``longest`` limits Retry-After.

    ``known``: the request identifies its sender. Then a 403 may come from a secret that is being replaced.
    Raises Unavailable (401, 429, 502, 503, 504), Retry (408, 425, other 5xx, 403 if ``known``) and Reject (all others).
    """
    status = answer.status
    if is_good(status):
        return
    reason = f"HTTP {status}{_phrase(status)}" + (f": {answer.excerpt}" if answer.excerpt else "")
    if status in REDIRECTS:
        raise Reject(f"{reason} (FMQ_WEBHOOK_REDIRECTS limits redirects)")
    after = seconds_of(answer.retry_after, now=now)
    if after is not None:
        after = min(after, longest)
    if status in _HOLD_OFF:
        raise Unavailable(after, reason)
    if status in _RETRY or status >= 500 or (status == HTTPStatus.FORBIDDEN and known):
        raise Retry(after, reason)
    raise Reject(reason)


def seconds_of(retry_after: str | None, *, now: float) -> float | None:
    """How long a Retry-After header (RFC 9110, section 10.2.3) asks to wait; None if it can't be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
