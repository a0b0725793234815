"""The store's time: steady within a boot, and continued in the next one (docs/adr/0019)."""

import json

from fmq.clock import Clock

BOOT, OFFSET, SEEN, STOOD = "boot_id", "clock_offset", "clock_seen", "clock_stood"
"""Notes: the boot that the offset belongs to, the offset, a moment in both clocks, and when the machine stood still."""
_STEP_SECONDS = 1.0
_SHORTEST_STANDSTILL, _LONGEST_STANDSTILL = 86_400.0, 31 * 86_400.0
_STANDSTILLS_KEPT = 16


class StoreTime:
    """The clock of ages, delays and leases, which nobody can set, and its distance from the wall clock.

    Within a boot it is the machine's steady clock and an offset. ``seen`` is the last moment that was noted in both
    clocks: a new boot goes on from there, by as much as the wall clock has moved. A wall clock that is behind (a machine
    without a battery) adds nothing, so that a delay may last longer by the time that the machine was off, and never ends
    early.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset = 0.0
        self._shift = 0.0

    def now(self) -> float:
        """Seconds, near to Unix time if the wall clock was right when the store was made."""
        return self._clock.steady() + self.offset

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._clock.wall()

    @property
    def shift(self) -> float:
        """Seconds to add to the store's time to get Unix time, by the wall clock as it is set now."""
        return self._clock.wall() - self.now()

    @property
    def was_set(self) -> bool:
        """Whether somebody has set the wall clock since the last moment that was seen."""
        return abs(self.shift - self._shift) > _STEP_SECONDS

    def go_on(self, offset: float, seen: str | None) -> None:
        """In a boot whose offset is known."""
        self.offset = offset
        moment = _moment(seen)
        self._shift = self.shift if moment is None else moment[1] - moment[0]

    def begin(self, seen: str | None) -> None:
        """In a new boot, or in a new store."""
        wall = self._clock.wall()
        moment = _moment(seen)
        now = wall if moment is None else moment[0] + max(0.0, wall - moment[1])
        self.offset = now - self._clock.steady()

    def see(self) -> str:
        """The present moment in both clocks, for a note."""
        now, wall = self.now(), self._clock.wall()
        self._shift = wall - now
        return f"{now!r} {wall!r}"

    def stood(self, seen: str | None, known: str | None) -> str | None:
        """The standstills with the one since ``seen``, for a note; None if there was none.

        While a virtual machine is paused its steady clock stands too, and afterwards the wall clock is set forward. That
        looks like a clock that was wrong: by hours (a time zone) or by years (no battery). Between a day and a month it is
        taken for a standstill.
        """
        moment = _moment(seen)
        gap = 0.0 if moment is None else self.shift - (moment[1] - moment[0])
        if not _SHORTEST_STANDSTILL <= gap <= _LONGEST_STANDSTILL:
            return None
        return json.dumps([*_standstills(known), (self.now(), gap)][-_STANDSTILLS_KEPT:])

    def ago(self, seconds: float, known: str | None) -> float:
        """The moment that lies ``seconds`` back, the standstills ``known`` counted in."""
        moment = self.now() - seconds
        for at, gap in reversed(_standstills(known)):
            if moment < at:
                moment = min(at, moment + gap)
        return moment


def _moment(seen: str | None) -> tuple[float, float] | None:
    """The store's time and the wall clock. None without a note, or for one that somebody has changed."""
    try:
        now, wall = (seen or "").split()
        return float(now), float(wall)
    except ValueError:
        return None


def _standstills(known: str | None) -> list[tuple[float, float]]:
    """When each ended and how many seconds it took. Empty for a note that somebody has changed."""
    try:
        return [(float(at), float(gap)) for at, gap in json.loads(known or "[]")]
    except (ValueError, TypeError):
        return []


def number(text: str | None) -> float | None:
    """A note's number; None without one."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
