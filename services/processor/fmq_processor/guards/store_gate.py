"""Delays calls to the store after a failure, with backoff, and logs an outage once."""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from prometheus_client import Counter

from fmq.backoff import Backoff
from fmq.clock import Clock
from fmq.errors import StoreUnavailable
from fmq.service.reporting.commit_watch import CommitWatch

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Gate:
    """All calls of a worker to the store go through it."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        failures: Counter,
        commit: CommitWatch,
        backoff: Backoff | None = None,
    ) -> None:
        """``commit`` watches the calls that write."""
        self._clock = clock
        self._commit = commit
        self._rng = rng
        self._failures = failures
        self._backoff = backoff or Backoff(initial=0.1, maximum=5.0)
        self._failed = 0
        self._open_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a call would be tried."""
        return not self._failed or self._clock.steady() >= self._open_at

    @property
    def is_well(self) -> bool:
        """Whether the last call that was tried succeeded."""
        return not self._failed

    def try_now(self) -> None:
        """Let the next call through, however recently the last one failed."""
        self._open_at = 0.0

    def attempt(self, call: Callable[[], _T], *, writes: bool = True) -> _T | None:
        """The result of ``call``. None if the store is unavailable, or if it is too early to try again.

        The success of a call that only reads (not ``writes``) proves nothing, since a full disk can be read.
        """
        if not self.is_open:
            return None
        try:
            if writes:
                with self._commit:
                    result = call()
            else:
                result = call()
        except StoreUnavailable as error:
            self._failed += 1
            self._failures.inc()
            self._open_at = self._clock.steady() + self._backoff.delay(self._failed, self._rng)
            if self._failed == 1:
                _log.error("The store is unavailable; trying again until it is back: %s", error)
            return None
        if self._failed and writes:
            _log.info("The store is back after %d failed calls", self._failed)
            self._failed = 0
        return result
