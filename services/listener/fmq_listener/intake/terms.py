"""What publishers ask for in a message: a delay, and a key that identifies duplicates."""

import logging
import math
from collections.abc import Sequence
from operator import attrgetter

from fmq.message import Incoming, Properties, Terms
from fmq.service.log import shorten
from fmq_listener.keys import LARGEST_PAYLOAD, Key, PayloadTooLarge

_log = logging.getLogger(__name__)
DELAY = "fmq-delay"
"""The user property with the seconds."""
_properties_of = attrgetter("properties")


class Asking:
    """Reads the terms of a batch."""

    def __init__(self, *, key: Key | None, key_seconds: float, longest_delay: float) -> None:
        """``longest_delay`` in seconds; 0: delays are ignored."""
        self._key = key
        self._key_seconds = key_seconds
        self._longest_delay = longest_delay

    def terms(self, messages: Sequence[Incoming]) -> dict[int, Terms]:
        """The terms of those of ``messages`` that have any, by their position."""
        if self._key is None and not any(map(_properties_of, messages)):
            return {}
        terms: dict[int, Terms] = {}
        delays: dict[int, float] = {}
        bad: list[str] = []
        too_large: list[Incoming] = []
        for position, message in enumerate(messages):
            delay = 0.0
            if message.properties is not None and self._longest_delay:
                delay = self._delay(message, message.properties, delays, bad)
            key = None
            try:
                key = self._key(message) if self._key else None
            except PayloadTooLarge:
                too_large.append(message)
            if delay or key is not None:
                terms[position] = Terms(key, self._key_seconds, delay)
        if bad:
            _log.warning(
                "Stored %d messages without a delay: expected a number of seconds, 0 or more; first: %s",
                len(bad),
                bad[0],
            )
        if too_large:
            _log.warning(
                "Stored %d messages without looking for their key, so duplicates among them are stored too: a payload of more than %d "
                "bytes on %s",
                len(too_large),
                LARGEST_PAYLOAD,
                shorten(too_large[0].topic),
            )
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
    """The delay in a user property; NaN if it is not a valid one."""
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        return math.nan
    return seconds if 0 <= seconds < math.inf else math.nan
