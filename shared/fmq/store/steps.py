"""Changes of many messages, in steps: for commands and the web page."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf, nextafter

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import MessageId
from fmq.store.roles import Operating
from fmq.store.selection import Found, Selection, State

STEP = 1_000
"""How many messages one commit changes, so that nobody waits long for the write lock."""
_PAUSES_A_SECOND = 10
_LATE_SECONDS = 10.0
_LONGEST_SECONDS = 1e9
"""Threads can't wait for much longer than this."""


def walk(
    store: Operating, name: str, which: Selection, *, limit: int = STEP, after_id: MessageId | None = None
) -> Iterator[Found]:
    """The steps of a search, with at most ``limit`` ids each."""
    while True:
        found = store.find(name, which, after_id=after_id, limit=limit)
        yield found
        after_id = found.after_id
        if after_id is None:
            return


def frozen(store: Operating, name: str, which: Selection, clock: Clock = SYSTEM_CLOCK) -> Selection:
    """The same selection, without messages that come into the state from now on, so that a requeue ends.

    If the clock was set back, there are messages with times that are still to come: these are selected too. Raises UnknownQueue.
    """
    now = clock.wall()
    until = now if which.until is None else min(which.until, now)
    if which.state is State.DONE:
        return replace(which, until=until)
    state = which.state if which.state is State.DEAD else State.ANY
    newest = store.heads(name, Selection(state), limit=1, within=1, head_bytes=0).heads
    if not newest:
        return replace(which, until=until)
    if which.state is not State.DEAD:
        return replace(which, last_id=newest[0].id)  # messages come in the order of their ids, whatever the clock says
    died_at = newest[0].settled_at
    if which.until is None and died_at is not None and died_at > now:
        until = nextafter(died_at, inf)
    return replace(which, until=until)


class Pace:
    """Limits a loop to ``rate`` messages per second; None: no limit."""

    def __init__(
        self, rate: float | None, *, clock: Clock = SYSTEM_CLOCK, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._start = clock.steady()
        self._count = 0

    @property
    def step(self) -> int:
        """How many messages to change at once, so that the rate is even."""
        return STEP if self._rate is None else max(1, min(STEP, int(self._rate / _PAUSES_A_SECOND)))

    def after(self, count: int) -> None:
        """Wait until ``count`` more messages are due."""
        self._count += count
        if self._rate is not None:
            ahead = self._start + self._count / self._rate - self._clock.steady()
            if ahead > 0:
                self._sleep(min(ahead, _LONGEST_SECONDS))
            elif ahead < -_LATE_SECONDS:  # the store was locked: what was missed is not made up for in one go
                self._start -= ahead
