"""Logs programming errors of a handler with their traceback, at a limited rate: a bad release fails for every message."""

import logging
import traceback

from fmq.clock import Clock
from fmq.message import Claim
from fmq.service.log import Seldom, shorten

_log = logging.getLogger(__name__)
_SECONDS = 60.0


class Mistakes:
    """One warning per minute for each kind of exception and line of code."""

    def __init__(self, attempts: int, *, clock: Clock) -> None:
        """``attempts`` is how often a message is tried."""
        self._attempts = attempts
        self._seldom = Seldom(_SECONDS, clock=clock)

    def log(self, claim: Claim, error: Exception, reason: str) -> None:
        """Log ``error``, which an attempt at ``claim`` raised, with the first line of ``reason``."""
        frames = traceback.extract_tb(error.__traceback__, limit=-1)
        place = f"{frames[0].filename}:{frames[0].lineno}" if frames else ""
        held_back = self._seldom.admit((type(error).__qualname__, place))
        if held_back is None:
            return
        _log.warning(
            "The handler has a programming error; it failed for message %d of %s (attempt %d of %d): %s%s",
            claim.message.id,
            shorten(claim.message.queue),
            claim.attempt,
            self._attempts,
            shorten(reason.partition("\n")[0]),
            f"; {held_back} more since the last such line" if held_back else "",
            exc_info=error if frames else None,
            extra={"queue": claim.message.queue, "message_id": claim.message.id},
        )
