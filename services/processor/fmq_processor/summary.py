"""A line every few seconds instead of a line a message."""

import logging

from fmq.clock import Clock

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 10.0


class Summary:
    """Counts settled attempts and tells of them in the log, if there were any."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.steady()
        self.done = 0
        self.skipped = 0
        self.expired = 0
        self.failed = 0
        self.dead = 0

    def tell_if_due(self) -> None:
        if self._clock.steady() - self._since >= _EVERY_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Tell of what has been counted since the last time."""
        now = self._clock.steady()
        seconds = now - self._since
        if self.done or self.skipped or self.expired or self.failed:
            text = f"Processed {self.done} messages"
            if self.skipped:
                text += f", skipped {self.skipped}"
            if self.expired:
                text += f", expired {self.expired}"
            if self.failed:
                text += f", {self.failed} failed attempts, {self.dead} dead letters"
            if seconds > 0:
                text += f" ({self.done / seconds:.1f}/s)"
            _log.info("%s", text)
        self._since = now
        self.done = self.skipped = self.expired = self.failed = self.dead = 0
