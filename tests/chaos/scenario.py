"""What every scenario gets and gives."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TypeVar

START_SECONDS = 10.0
"""Bound of a recovery in which a process starts, while others do so too and all the rest is busy."""
_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """``folder`` is of this scenario alone; ``scale`` makes it larger or smaller than ``make chaos`` does."""

    folder: Path
    seed: int
    scale: float = 1.0

    def rng(self, name: str) -> random.Random:
        """Chance for one part, which does not depend on what other parts draw."""
        return random.Random(f"{self.seed}/{name}")

    def scaled(self, count: int, *, least: int = 1) -> int:
        return max(least, round(count * self.scale))


@dataclass(slots=True)
class Result:
    """One line of the report. ``faults`` says what must not be; ``recovered_in`` is the slowest recovery, in seconds.

    One that takes longer than ``within`` seconds is a fault.
    """

    scenario: str
    runs: int = 0
    what: str = "runs"
    messages: int = 0
    lost: int = 0
    duplicated: int = 0
    recovered_in: float | None = None
    within: float = 5.0
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    """How long the scenario took."""

    def recovered(self, seconds: float) -> None:
        """Intake or handling went on ``seconds`` after a fault was over."""
        self.recovered_in = max(self.recovered_in or 0.0, seconds)
        if seconds > self.within:
            self.faults.append(f"recovered only after {seconds:.1f} s; {self.within:g} s are allowed")

    def add(self, part: "Result") -> None:
        """Count in what a part of the scenario has found."""
        self.runs += part.runs
        self.messages += part.messages
        self.lost += part.lost
        self.duplicated += part.duplicated
        self.faults += part.faults
        if part.recovered_in is not None:
            self.recovered_in = max(self.recovered_in or 0.0, part.recovered_in)

    @property
    def is_fine(self) -> bool:
        return not self.lost and not self.faults


@dataclass(slots=True)
class Control:
    """A run that is wrong on purpose. ``noticed`` is how the checks failed it; empty if they did not."""

    name: str
    noticed: str = ""
    seconds: float = 0.0
    """How long the run took."""


Findings = Sequence[Result | Control]
Scenario = Callable[[Setting], Result | Control]


_T = TypeVar("_T")


def side_by_side(run: Callable[[_T], Result], cases: Iterable[_T]) -> list[Result]:
    """The results of all ``cases``, five at a time: for those that mostly wait."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(run, cases))


@contextmanager
def timed(result: Result) -> Iterator[None]:
    """What runs within is a recovery."""
    began = monotonic()
    yield
    result.recovered(monotonic() - began)
