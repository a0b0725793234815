"""One log line per period in which messages came, instead of one per message."""

import logging

from fmq.clock import Clock
from fmq.text import counted

_log = logging.getLogger(__name__)
_SECONDS = 10.0


class Summary:
    """Counts stored messages and logs the count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stored = self._duplicates = 0
        self._began = clock.steady()

    def count(self, *, stored: int, duplicates: int) -> None:
        self._stored += stored
        self._duplicates += duplicates

    def tell_if_due(self) -> None:
        if self._clock.steady() - self._began >= _SECONDS:
            self.tell()

    def tell(self) -> None:
        now = self._clock.steady()
        if self._stored or self._duplicates:
            rate = self._stored / max(now - self._began, 0.001)
            more = f", {counted(self._duplicates, 'duplicate')} acknowledged" if self._duplicates else ""
            counts = {"stored": self._stored, "duplicates": self._duplicates, "seconds": round(now - self._began, 3)}
            _log.info("Stored %s (%.1f/s)%s", counted(self._stored, "message"), rate, more, extra=counts)
        self._stored = self._duplicates = 0
        self._began = now
