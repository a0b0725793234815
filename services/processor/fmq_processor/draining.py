"""``fmq process --drain``: ends the processor when nothing is due, for cron and CI."""

import logging
from collections.abc import Callable, Sequence
from typing import Self

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import QueueError, StoreRefused, UnknownQueue
from fmq.service.lifecycle import Shutdown
from fmq.service.log import shorten
from fmq.service.threads import SupervisedThread
from fmq.store.roles import Store
from fmq.topics import QUARANTINE

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2


class Drain:
    """A thread with its own connection. Requests the shutdown when no message of the queues is due or being handled.

    It does not wait for retries and delays; the log names those that are left. Messages of a paused queue are not due.
    """

    def __init__(
        self,
        store: Store,
        queues: Sequence[str],
        shutdown: Shutdown,
        *,
        is_down: Callable[[], bool],
        patience: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Without ``queues``, all. ``is_down`` says that a handler's target is down.

        If nothing is settled meanwhile for ``patience`` seconds, although messages are due, the service fails.
        """
        self._store = store
        self._queues = queues
        self._shutdown = shutdown
        self._is_down = is_down
        self._patience = patience
        self._clock = clock
        self._down_since: float | None = None
        self._settled: dict[str, int] | None = None
        """The total of each queue at the last look."""
        self._thread = SupervisedThread(self._run, name="drain", shutdown=shutdown)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._shutdown.request()
        self._thread.join()

    def _run(self) -> None:
        while not self._shutdown.wait(_LOOK_SECONDS):
            try:
                self.look()
            except StoreRefused:
                raise
            except QueueError:  # the worker reports it; what is due is unknown until the store is back
                continue

    def look(self) -> None:
        """End the service if nothing is due now and nothing was settled since the last look. May raise QueueError.

        Between a settlement and the next claim, messages that a route keeps for later look as if they only waited.
        """
        due, left = 0, []
        settled: dict[str, int] = {}
        for name in self._queues or [name for name in self._store.names() if name != QUARANTINE]:
            try:
                more, settled[name], note = self._examine(name)
            except UnknownQueue:  # no listener has created it yet
                continue
            due += more
            left += [note] if note else []
        is_still = settled == self._settled
        if due and self._give_up(is_still=is_still):
            self._shutdown.fail(f"a handler's target is down; messages left: {due:,}")
            _log.error("Drain ends: %s", self._shutdown.failure)
        elif not due and is_still:
            _log.info("Nothing is due any more, stopping; left: %s", "; ".join(left) or "nothing")
            self._shutdown.request()
        self._settled = settled

    def _examine(self, name: str) -> tuple[int, int, str]:
        """Messages of a queue that are due or being handled, its total of settlements, and what else is left, in words."""
        stats = self._store.stats(name)
        settled = stats.handled + stats.failed + stats.died
        waits = self._store.retrying(name, most=stats.pending) if stats.pending else 0
        if stats.paused:
            note = f"{stats.pending:,} pending in {shorten(name)}, which is paused"
            return stats.claimed, settled, note if stats.pending else ""
        due = stats.pending - waits + stats.claimed
        if not waits:
            return due, settled, ""
        first = self._store.next_retry(name)
        when = None if first is None else self._store.waiting(name, [first]).get(first)
        return due, settled, f"{waits:,} waiting in {shorten(name)}, the next due in {when.due_in if when else 0:.0f} s"

    def _give_up(self, *, is_still: bool) -> bool:
        """Whether a target has been down for too long. ``is_still``: nothing was settled since the last look."""
        now = self._clock.steady()
        if not is_still or not self._is_down():
            self._down_since = None
            return False
        self._down_since = now if self._down_since is None else self._down_since
        return now - self._down_since >= self._patience
