"""What every part of the benchmarks is made of: a round, tables of figures, and the goals these are held against."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from fmq.store.roles import Store

_T = TypeVar("_T")
TOPIC = "bench/readings"
TESTS = Path(__file__).resolve().parents[1]
DEADLINE = 120.0
_STEP = 0.004

Figures = dict[str, float]
"""What a part measured in one round, by the names of its rows."""


@dataclass(frozen=True, slots=True)
class Round:
    """One turn. ``folder`` is of this turn and part alone, ``kept`` is of this part and lasts for the whole run."""

    number: int
    quick: bool
    folder: Path
    kept: Path

    def in_turn(self, runs: Sequence[_T]) -> list[_T]:
        """``runs``, begun with another one in each round."""
        turn = self.number % len(runs)
        return [*runs[turn:], *runs[:turn]]

    def scaled(self, count: int) -> int:
        """``count``, or an eighth of it for a quick run."""
        return count // 8 if self.quick else count


@dataclass(frozen=True, slots=True)
class Table:
    """What is compared: ``rows``, the first of which is ours. ``about`` says how it was measured."""

    name: str
    title: str
    about: str
    rows: tuple[str, ...]
    unit: str = "messages/s"
    less_is_better: bool = False
    plotted: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """``row`` divided by ``by``, or ``row`` alone, has to be ``least`` at least, or ``most`` at most."""

    what: str
    row: str
    by: str | None = None
    least: float | None = None
    most: float | None = None
    unit: str = "x"


class Part(Protocol):
    """A module that measures something."""

    @property
    def TABLES(self) -> tuple[Table, ...]: ...  # noqa: N802 - a module's constant
    @property
    def GOALS(self) -> tuple[Goal, ...]: ...  # noqa: N802
    def measure(self, turn: Round) -> Figures: ...


def reading(number: int, size: int = 120) -> bytes:
    """A reading as JSON, ``size`` bytes long."""
    text = (
        b'{"sensor":"a3f09c","kind":"temperature","value":21.375,"unit":"C","at":1764000000.125,"number":%012d,"note":"'
        % number
    )
    return text + b"x" * (size - len(text) - 2) + b'"}'


def await_count(count: Callable[[], int], wanted: int) -> float:
    """Wait until ``count`` has come to ``wanted``; returns the time at which it was seen."""
    end = time.monotonic() + DEADLINE
    while count() < wanted:
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE:g} s for {wanted} messages, and there are {count()}")
        time.sleep(_STEP)
    return time.time()


def await_stored(queue: Store, wanted: int, name: str = TOPIC) -> float:
    """Wait until this number was committed."""
    return await_count(lambda: queue.stats(name).stored, wanted)


def await_done(queue: Store, wanted: int, name: str = TOPIC) -> float:
    """Wait until this number was settled."""
    return await_count(lambda: queue.stats(name).done, wanted)
