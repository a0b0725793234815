"""What messages ask for beside being stored: a delay, and an identity of their own to tell duplicates by."""

import json
import logging
import math
from collections.abc import Callable, Sequence

from jsonpointer import JsonPointer, JsonPointerException

from fmq.log import shorten
from fmq.message import Incoming, Properties, Terms

_log = logging.getLogger(__name__)
DELAY = "fmq-delay"
"""The user property with the seconds."""
_LONGEST_KEY = 1_000
USER = "user:"

Key = Callable[[Incoming], str | None]


def key_of(expression: str) -> Key:
    """Finds a message's key: ``user:NAME`` is a user property, ``/…`` a JSON pointer (RFC 6901) into the payload.

    Raises ValueError if ``expression`` is neither.
    """
    if expression.startswith(USER) and len(expression) > len(USER):
        name = expression.removeprefix(USER)
        return lambda message: message.properties.user(name) if message.properties else None
    if not expression.startswith("/"):
        raise ValueError("neither user:NAME nor a JSON pointer")
    try:
        pointer = JsonPointer(expression)
    except JsonPointerException as error:
        raise ValueError(f"no JSON pointer ({error})") from error

    def of_payload(message: Incoming) -> str | None:
        try:
            found = pointer.resolve(json.loads(message.payload), None)
        except (ValueError, RecursionError, JsonPointerException, TypeError):
            return None
        return None if isinstance(found, dict | list | None) else json.dumps(found)

    return of_payload


class Asking:
    """Reads the terms of a batch."""

    def __init__(self, *, key: Key | None, key_seconds: float, longest_delay: float) -> None:
        """``longest_delay`` in seconds; 0: delays are not heard."""
        self._key = key
        self._key_seconds = key_seconds
        self._longest_delay = longest_delay

    def terms(self, messages: Sequence[Incoming]) -> dict[int, Terms]:
        """The terms of those of ``messages`` that have any, by their position."""
        terms: dict[int, Terms] = {}
        delays: dict[int, float] = {}
        bad: list[str] = []
        for position, message in enumerate(messages):
            delay = 0.0
            if message.properties is not None and self._longest_delay:
                delay = self._delay(message, message.properties, delays, bad)
            key = self._key(message) if self._key else None
            if key is not None and len(key) > _LONGEST_KEY:
                key = None
            if delay or key is not None:
                terms[position] = Terms(key, self._key_seconds, delay)
        if bad:
            _log.warning("%d messages ask for a delay that is none, and are stored without: %s", len(bad), bad[0])
        return terms

    def _delay(self, message: Incoming, properties: Properties, delays: dict[int, float], bad: list[str]) -> float:
        key = id(properties)  # the messages of a batch often share them
        if key not in delays:
            delays[key] = _seconds(properties.user(DELAY))
        if math.isnan(delays[key]):
            bad.append(f"{DELAY}={shorten(properties.user(DELAY) or '')} on {shorten(message.topic)}")
            return 0.0
        return min(delays[key], self._longest_delay)


def _seconds(text: str | None) -> float:
    """What a user property says; NaN if it is no delay."""
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        return math.nan
    return seconds if 0 <= seconds < math.inf else math.nan
