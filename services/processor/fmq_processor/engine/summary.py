"""Logs one line every few seconds instead of one line per message."""

import logging
from collections import Counter

from fmq.clock import Clock
from fmq.text import counted
from fmq_processor.engine.verdict import FAILED, Kind

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 10.0


class Summary:
    """Counts settled attempts by kind and logs the counts, if there are any."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.steady()
        self._counts: Counter[Kind] = Counter()

    @property
    def dead(self) -> int:
        """Dead letters since the last line."""
        return self._counts[Kind.DEAD]

    def count(self, kind: Kind, count: int = 1) -> None:
        """Count attempts."""
        self._counts[kind] += count

    def log_if_due(self) -> None:
        """Log a line if the last one is some time ago."""
        if self._clock.steady() - self._since >= _EVERY_SECONDS:
            self.log()

    def log(self) -> None:
        """Log what was counted since the last line."""
        now = self._clock.steady()
        seconds = now - self._since
        if self._counts:
            done, failed = self._counts[Kind.DONE], sum(self._counts[kind] for kind in FAILED)
            text = f"Processed {counted(done, 'message')}"
            for kind in (Kind.SKIPPED, Kind.EXPIRED):
                if self._counts[kind]:
                    text += f", {kind} {self._counts[kind]}"
            if failed:
                text += f", {counted(failed, 'failed attempt')}, {counted(self.dead, 'dead letter')}"
            if seconds > 0:
                text += f" ({done / seconds:.1f}/s)"
            counts = {kind.value: self._counts[kind] for kind in (Kind.DONE, Kind.SKIPPED, Kind.EXPIRED, Kind.DEAD)}
            _log.info("%s", text, extra={**counts, "failed": failed, "seconds": round(seconds, 3)})
        self._since = now
        self._counts.clear()
