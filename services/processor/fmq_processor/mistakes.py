"""Logs mistakes in a handler's code with their traceback, each now and then: a bad release fails for every message."""

import logging
import traceback

from fmq.clock import Clock
from fmq.log import Seldom, shorten
from fmq.message import Claim

_log = logging.getLogger(__name__)
_SECONDS = 60.0


class Mistakes:
    """One warning a minute for each kind of exception and line of code."""

    def __init__(self, attempts: int, *, clock: Clock) -> None:
        """``attempts`` is how often a message is tried."""
        self._attempts = attempts
        self._seldom = Seldom(_SECONDS, clock=clock)

    def tell(self, claim: Claim, error: Exception) -> None:
        """Log ``error``, which an attempt at ``claim`` raised."""
        frames = traceback.extract_tb(error.__traceback__, limit=-1)
        place = f"{frames[0].filename}:{frames[0].lineno}" if frames else ""
        held_back = self._seldom.admit((type(error).__qualname__, place))
        if held_back is None:
            return
        _log.warning(
            "The handler has a programming error; it failed for message %d of %s (attempt %d of %d)%s",
            claim.message.id,
            shorten(claim.message.queue),
            claim.attempt,
            self._attempts,
            f"; {held_back} more like it since the last such line" if held_back else "",
            exc_info=error,
            extra={"queue": claim.message.queue, "message_id": claim.message.id},
        )
