"""Waits for a target that is down, so that a short fault costs no message an attempt."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from fmq.backoff import Backoff
from fmq.outcome import Unavailable
from fmq.service.retrying import retrying

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Patience:
    """Retries calls that raise Unavailable, for at most ``seconds``, from any number of threads."""

    def __init__(self, seconds: float) -> None:
        self._over = threading.Event()
        self._retrying = retrying(
            Unavailable,
            backoff=Backoff(initial=0.2, maximum=2.0),
            stop=tenacity.stop_after_delay(seconds) | tenacity.stop_when_event_set(self._over),
            sleep=self._over.wait,
            log=_log_first,
        )

    def call(self, function: Callable[[], _T]) -> _T:
        """The result of ``function``. Raises Unavailable when the time is over, and any other exception at once."""
        return self._retrying.copy()(function)

    def end(self) -> None:
        """Stop waiting."""
        self._over.set()


def _log_first(attempt: int, error: BaseException, _delay: float) -> None:
    if attempt == 1:
        _log.warning("Trying again: %s", error)
