"""Limits the rate of requests."""


class Pace:
    """Assigns turns that are ``1 / rate`` seconds apart; with a rate of 0, all at once."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = float("-inf")

    def wait(self, now: float) -> float:
        """Take the next turn. Returns the seconds from ``now`` (of any steady clock) until then."""
        turn = max(now, self._next)
        self._next = turn + self._gap
        return turn - now
