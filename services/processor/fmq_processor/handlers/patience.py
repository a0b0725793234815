"""Waiting for a target that is down: short faults pass without costing a message one of its attempts."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import tenacity

from fmq.outcome import Unavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Patience:
    """Tries calls again that raise Unavailable, for ``seconds`` at most, from any number of threads."""

    def __init__(self, seconds: float) -> None:
        self._over = threading.Event()
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_delay(seconds) | tenacity.stop_when_event_set(self._over),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            sleep=tenacity.sleep_using_event(self._over),
            before_sleep=_tell,
            reraise=True,
        )

    def call(self, function: Callable[[], _T]) -> _T:
        """What ``function`` returns. Raises Unavailable when the time is over, and any other error of it at once."""
        return self._retrying.copy()(function)

    def end(self) -> None:
        """Wait no more."""
        self._over.set()


def _tell(state: tenacity.RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        _log.warning("Trying again: %s", state.outcome.exception())
