"""Retries blocking calls: the one place that configures tenacity for services.

A loop that must not block counts failures itself and asks ``fmq.backoff`` for the delay.
"""

import logging
import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from fmq.backoff import Backoff
from fmq.errors import StoreUnavailable
from fmq.service.lifecycle import Shutdown

_log = logging.getLogger(__name__)


def until_available(shutdown: Shutdown) -> Retrying:
    """Calls a function again while the store is unavailable, until the shutdown. For the start of a service."""
    return retrying(
        StoreUnavailable,
        backoff=Backoff(initial=0.2, maximum=5.0),
        stop=lambda _: shutdown.requested,
        sleep=shutdown.wait,
        log=lambda _attempt, error, _delay: _log.warning("The store is unavailable; trying again: %s", error),
    )


def retrying(
    errors: type[Exception] | tuple[type[Exception], ...],
    *,
    backoff: Backoff,
    sleep: Callable[[float], object],
    log: Callable[[int, BaseException, float], None],
    stop: Callable[[RetryCallState], bool] = lambda _state: False,
    rng: random.Random | None = None,
) -> Retrying:
    """Calls a function again while it raises one of ``errors``, until ``stop``; then raises the last error.

    ``sleep`` waits for a number of seconds; an exception in it ends the retries. ``log`` receives the number of the attempt
    that failed, its error and the seconds until the next attempt.
    """
    chance = rng or random.Random()

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None and state.next_action is not None:
            log(state.attempt_number, error, state.next_action.sleep)

    return Retrying(
        retry=retry_if_exception_type(errors),
        wait=lambda state: backoff.delay(state.attempt_number, chance),
        stop=stop,
        sleep=lambda seconds: _ignored(sleep(seconds)),
        before_sleep=before_sleep,
        reraise=True,
    )


def _ignored(_result: object) -> None:
    """Tenacity's sleep returns nothing."""
