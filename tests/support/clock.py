"""A clock that tests move by hand."""


class FakeClock:
    """Implements fmq.clock.Clock. ``advance`` moves both clocks; ``jump`` only the wall clock, as NTP or a person would."""

    def __init__(self, wall: float = 1_800_000_000.0, steady: float = 1_000.0) -> None:
        self._wall = wall
        self._steady = steady
        self._boot = 1

    def wall(self) -> float:
        return self._wall

    def steady(self) -> float:
        return self._steady

    def boot_id(self) -> str:
        return f"boot-{self._boot}"

    def advance(self, seconds: float) -> None:
        self._wall += seconds
        self._steady += seconds

    def jump(self, seconds: float) -> None:
        self._wall += seconds

    def reboot(self) -> None:
        """Begin a new boot: the steady clock starts over."""
        self._boot += 1
        self._steady = 5.0
