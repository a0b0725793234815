"""How many messages are due. Pure."""


class Pacer:
    """Spreads ``rate`` messages evenly over each second. What is missed for longer than a second is not made up for."""

    def __init__(self, rate: float, *, now: float) -> None:
        self._rate = rate
        self._last = now
        self._due = 0.0

    def take(self, *, now: float, room: int) -> int:
        """How many to send at ``now`` (seconds), at most ``room``."""
        self._due = min(self._due + (now - self._last) * self._rate, max(1.0, self._rate))
        self._last = now
        count = min(int(self._due), room)
        self._due -= count
        return count
