"""Medians, spreads, ratios, and what shows them. Pure but for the facts about this machine."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

import apsw

from bench.measure import Figures, Goal, Part, Table
from bench.svg import Bar, bars

Results = Sequence[Figures]
_PACKAGES = ("fmq-core", "paho-mqtt", "litequeue", "persist-queue", "huey")
_GOALS_HEAD = ("figure", "goal", "measured", "spread", "")
_INTRODUCTION = """# Benchmarks

Written by `make bench`, which measures everything in turn on one machine in one run. Compare figures of one run
only: another machine, disk or broker gives others. Each figure is the median of all rounds and the spread goes from
the least to the most. A ratio is taken within each round, and its median and spread over the rounds shown.
"""


def facts(*, broker: str, rounds: int, load: float) -> list[str]:
    """What the figures depend on; ``load`` is what else the machine had to do."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs ({platform.machine()}), {platform.system()}",
        f"Load average at the start: {load:.1f}",
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, Mosquitto {broker}",
        packages,
        f"Rounds: {rounds}",
    ]


def _ratios(results: Results, row: str, by: str | None) -> list[float]:
    return [one[row] / (one[by] if by else 1.0) for one in results]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _goal(goal: Goal, results: Results) -> tuple[str, ...]:
    found = _ratios(results, goal.row, goal.by)
    middle = median(found)
    wanted, met = "", ""
    if goal.least is not None:
        wanted, met = f"≥ {_short(goal.least)}{goal.unit}", "met" if middle >= goal.least else "missed"
    elif goal.most is not None:
        wanted, met = f"≤ {_short(goal.most)}{goal.unit}", "met" if middle <= goal.most else "missed"
    return goal.what, wanted, f"{_short(middle)}{goal.unit}", f"{_short(min(found))} to {_short(max(found))}", met


def goals(parts: Sequence[Part], results: Results) -> list[tuple[str, ...]]:
    """A line for each goal."""
    return [_GOALS_HEAD, *(_goal(goal, results) for part in parts for goal in part.GOALS)]


def table(one: Table, results: Results) -> list[tuple[str, ...]]:
    """A line for each row. The last column is the first row's figure divided by this one's."""
    ours = one.rows[0]
    lines: list[tuple[str, ...]] = [("what", one.unit, "spread", "ratio")]
    for row in one.rows:
        found = [figures[row] for figures in results]
        share = "" if row == ours else f"{_short(median(_ratios(results, ours, row)))}x"
        lines.append((_kind(row), _short(median(found)), f"{_short(min(found))} to {_short(max(found))}", share))
    return lines


def _kind(row: str) -> str:
    return row.partition(": ")[0] if "MQTT" in row.partition(": ")[2] else row


def as_text(parts: Sequence[Part], results: Results, known: Sequence[str]) -> str:
    """For a terminal."""
    lines = [*known]
    for title, cells in [("Goals", goals(parts, results)), *((t.title, table(t, results)) for t in _tables(parts))]:
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["", title]
        lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines) + "\n"


def as_markdown(parts: Sequence[Part], results: Results, known: Sequence[str]) -> str:
    """For docs/benchmarks.md, next to the plots."""
    lines = [_INTRODUCTION, *(f"- {fact}" for fact in known), "", "## Goals", "", *_markdown(goals(parts, results))]
    for one in _tables(parts):
        lines += ["", f"## {one.title}", ""]
        if one.about:
            lines += [one.about, ""]
        if one.plotted:
            lines += [f"![{one.title}](img/bench-{one.name}.svg)", ""]
        lines += _markdown(table(one, results))
    return "\n".join(lines) + "\n"


def plots(parts: Sequence[Part], results: Results) -> Iterator[tuple[str, str]]:
    """File names, and charts."""
    for one in _tables(parts):
        if one.plotted:
            found = {row: [figures[row] for figures in results] for row in one.rows}
            values = [Bar(_kind(row), median(f), min(f), max(f)) for row, f in found.items()]
            yield f"bench-{one.name}.svg", bars(one.title, one.unit, values)


def _tables(parts: Sequence[Part]) -> list[Table]:
    return [one for part in parts for one in part.TABLES]


def _markdown(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = cells
    yield f"| {' | '.join(head)} |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for line in rest:
        yield f"| {' | '.join(line)} |"
