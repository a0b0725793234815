"""For how long messages are set aside. No I/O."""

from collections import defaultdict

from fmq.clock import Clock

NOBODY = ""
"""Stands for the route of a message that no route wants."""
SECONDS = 300.0
"""How long a message is set aside at least. Afterwards any claim gets it, and decides again."""
_PER_SECOND = 1_000.0
_PER_SECOND_FOR_NOBODY = 100.0


class Parking:
    """Spreads the ends of the delays, so that a deep backlog of a route comes back slowly if nobody takes it meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_until: defaultdict[str, float] = defaultdict(float)

    def delay(self, route: str, count: int) -> float:
        """For how many seconds to set ``count`` messages aside for ``route``."""
        now = self._clock.steady()
        due = max(now + SECONDS, self._full_until[route])
        self._full_until[route] = due + count / (_PER_SECOND if route else _PER_SECOND_FOR_NOBODY)
        return due - now
