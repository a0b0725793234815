"""The ratios that matter, as they were last kept, with their noise: tells which of them a run has moved.

Ratios, not rates: both sides are measured in one run, so that they hold on other machines too.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.measure import Figures, Goal, Part

_KEPT = Path(__file__).with_name("ratios.toml")
_LEAST_NOISE = 0.05
_HEAD = """# Written by `python tests/bench --keep`: the median of each ratio over the rounds of a full run, and its noise, the larger
# part by which a round was away from it. A run reports the ratios that moved by more than that.
"""


def found(goal: Goal, results: Sequence[Figures]) -> tuple[float, float]:
    """Median of a goal's ratio over the rounds, and its noise as a part of it."""
    values = [one[goal.row] / one[goal.by] if goal.by else one[goal.row] for one in results]
    middle = median(values)
    return middle, max(_LEAST_NOISE, *(abs(value / middle - 1) for value in values))


def moved(parts: Sequence[Part], results: Sequence[Figures], kept: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """A line for each ratio whose median is further from the kept one than both noises together allow."""
    for goal in _ratios(parts):
        if known := kept.get(goal.what):
            middle, noise = found(goal, results)
            change = middle / known["median"] - 1
            if abs(change) > max(noise, known["noise"]):
                is_better = (change > 0) == (goal.most is None)
                yield f"{goal.what}: {known['median']:.3g} before, {middle:.3g} now ({'better' if is_better else 'WORSE'})"


def read() -> Mapping[str, Mapping[str, float]]:
    """The kept ratios, by the texts of their goals."""
    return tomllib.loads(_KEPT.read_text(encoding="utf-8")) if _KEPT.exists() else {}


def keep(parts: Sequence[Part], results: Sequence[Figures]) -> None:
    """Replace the ratios of these parts by those of this run."""
    fresh = {goal.what: found(goal, results) for goal in _ratios(parts)}
    every = {name: (one["median"], one["noise"]) for name, one in read().items()} | fresh
    lines = [
        f'["{name}"]\nmedian = {middle:.4g}\nnoise = {noise:.2g}\n' for name, (middle, noise) in sorted(every.items())
    ]
    _KEPT.write_text("\n".join([_HEAD, *lines]), encoding="utf-8")


def _ratios(parts: Sequence[Part]) -> Iterator[Goal]:
    return (goal for part in parts for goal in part.GOALS if goal.by)
