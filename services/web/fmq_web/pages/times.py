"""Times, written in UTC. static/times.js rewrites them in the reader's own zone."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus

from fmq.message import LATEST_MOMENT
from fmq_web.http.problems import Problem

_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(s|min|m|h|d)(?: ago)?", re.ASCII)
_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400}


def utc(at: float) -> str:
    """``2026-11-29 10:15:03 UTC``."""
    return f"{_moment(at):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float) -> str:
    """For the attribute of a time element: ``2026-11-29T10:15:03Z``."""
    return f"{_moment(at):%Y-%m-%dT%H:%M:%SZ}"


def exact(text: str, now: float) -> str:
    """What a reader wrote as a date and time in UTC, ``2026-11-29 10:15:03`` or ``2026-11-29 10:15:03.120``; empty if it is empty.

    It may be a time ago (``90 s``, ``15 min``, ``2h``, ``3 d``), or a date with or without a time, in UTC unless it says another
    zone. Raises Problem 422.
    """
    if not text:
        return text
    ago = _AGO.fullmatch(text.strip().lower())
    at = datetime.fromtimestamp(max(0.0, now - float(ago[1]) * _UNITS[ago[2]]), UTC) if ago else _parsed(text)
    return at.isoformat(" ", "milliseconds").removesuffix("+00:00").removesuffix(".000")


def unix(text: str) -> float | None:
    """What ``exact`` returned, in Unix seconds; None if it is empty."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if text else None


def _parsed(text: str) -> datetime:
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text.strip().removesuffix("UTC").rstrip())
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        if 0 <= at.timestamp() < LATEST_MOMENT:
            return at
    shown = text if len(text) < 40 else f"{text[:40]}…"
    raise Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f'Invalid time "{shown}": expected an age such as 15 min, 2 h or 3 d, or a date such as 2026-11-29 10:00.',
    )


def _moment(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):  # a clock that is far off
        return datetime.fromtimestamp(0, UTC)
