"""Limits dead letters per minute, so that a bad handler can't bury a queue. No I/O."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

from fmq.clock import Clock

_WINDOW = 60
"""In seconds, and in as many steps."""


@dataclass(slots=True)
class _Second:
    at: int
    done: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Minute:
    """The messages of one queue that were done or died within the last minute."""

    seconds: deque[_Second] = field(default_factory=deque)
    done: int = 0
    dead: int = 0

    def now(self, at: int) -> _Second:
        """The second ``at``, the last one; those that have passed are dropped."""
        while self.seconds and self.seconds[0].at <= at - _WINDOW:
            passed = self.seconds.popleft()
            self.done -= passed.done
            self.dead -= passed.dead
        if not self.seconds or self.seconds[-1].at != at:
            self.seconds.append(_Second(at))
        return self.seconds[-1]


class DeadLetterLimit:
    """Allows ``most`` dead letters per queue and minute; 0: no limit.

    More are allowed while they are less than ``share`` of the messages that were done or died in that time: a few publishers
    of nonsense must not stop a queue that works.
    """

    def __init__(self, *, most: int, share: float, clock: Clock) -> None:
        self._most = most
        self._share = share
        self._clock = clock
        self._minutes: defaultdict[str, _Minute] = defaultdict(_Minute)

    def done(self, queue: str, count: int) -> None:
        """Count messages that were handled."""
        if self._most:
            minute = self._minutes[queue]
            minute.now(int(self._clock.steady())).done += count
            minute.done += count

    def admits(self, queue: str) -> bool:
        """Whether one more message may die. If so, it counts as dead."""
        if not self._most:
            return True
        minute = self._minutes[queue]
        second = minute.now(int(self._clock.steady()))
        if minute.dead >= self._most and minute.dead >= self._share * (minute.dead + minute.done):
            return False
        minute.dead += 1
        second.dead += 1
        return True

    def forget(self, queue: str) -> None:
        """Start over, after an operator has resumed the queue."""
        self._minutes.pop(queue, None)
