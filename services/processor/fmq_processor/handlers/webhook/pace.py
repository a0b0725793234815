"""At most so many a second."""


class Pace:
    """Gives turns that lie ``1 / rate`` seconds apart; with a rate of 0, all at once."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = float("-inf")

    def wait(self, now: float) -> float:
        """Take the next turn, and say how many seconds from ``now`` (any steady clock) it is away."""
        turn = max(now, self._next)
        self._next = turn + self._gap
        return turn - now
