"""How fast messages come and go, from the counters of the last seconds."""

import threading
from collections import deque
from collections.abc import Sequence

from fmq.clock import Clock
from fmq_web.answers.queues import Counts

WINDOW_SECONDS = 10.0
_FRESH_SECONDS = 3.0
_SETTLED_AT_ONCE = 2.0
"""Less than this long, a rate would jump with every batch."""


class RateMeter:
    """The mean rates over the last ten seconds. ``note`` and ``rates`` may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, dict[str, tuple[int, int]]]] = deque()

    def note(self, queues: Sequence[Counts]) -> None:
        """Note the counters as they are now."""
        now = self._clock.steady()
        with self._lock:
            if self._samples and now - self._samples[-1][0] > _FRESH_SECONDS:
                self._samples.clear()  # nobody looked for a while
            self._samples.append((now, {one.name: (one.stored, one.handled + one.died) for one in queues}))
            while now - self._samples[0][0] > WINDOW_SECONDS:
                self._samples.popleft()

    def rates(self, name: str) -> tuple[float, float] | None:
        """In and out of a queue in messages per second. None if the last seconds are not known."""
        with self._lock:
            if not self._samples or self._clock.steady() - self._samples[-1][0] > _FRESH_SECONDS:
                return None
            until, last = self._samples[-1]
            since, first = next(((at, seen) for at, seen in self._samples if name in seen), self._samples[-1])
        if name not in last or until - since < _SETTLED_AT_ONCE:
            return None
        (came, went), (had_come, had_gone) = last[name], first[name]
        # A queue that was deleted and made again starts at 0.
        seconds = until - since
        return round(max(0, came - had_come) / seconds, 2), round(max(0, went - had_gone) / seconds, 2)
