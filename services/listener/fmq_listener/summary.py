"""A line every few seconds instead of a line a message."""

import logging

from fmq.clock import Clock

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 10.0


class Summary:
    """One log line a period in which messages came, not one a message."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stored = 0
        self._began = clock.steady()

    def count(self, stored: int) -> None:
        self._stored += stored

    def tell_if_due(self) -> None:
        if self._clock.steady() - self._began >= _EVERY_SECONDS:
            self.tell()

    def tell(self) -> None:
        now = self._clock.steady()
        if self._stored:
            rate = self._stored / max(now - self._began, 0.001)
            _log.info("Stored %d messages (%.1f/s)", self._stored, rate)
        self._stored = 0
        self._began = now
