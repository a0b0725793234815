"""Medians, spreads, ratios, and the tables that show them. Pure but for the facts about this machine."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

import apsw


@dataclass(frozen=True, slots=True)
class Group:
    """What is compared with each other: ``rows``, the first of which is ours. ``about`` says how it was measured."""

    title: str
    about: str
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured, in messages a second. ``share`` is our median divided by its own."""

    name: str
    middle: float
    least: float
    most: float
    share: float

    def cells(self) -> tuple[str, str, str, str]:
        spread = f"{self.least:,.0f} to {self.most:,.0f}"
        return (
            self.name,
            f"{self.middle:,.0f}",
            spread,
            f"{self.share:.2g}x" if self.share < 10 else f"{self.share:.0f}x",
        )


_HEAD = ("what", "messages/s", "spread", "fmq is")


def rows(group: Group, results: Sequence[dict[str, float]]) -> list[Row]:
    """The group's rows over all rounds."""
    rates = {name: [one[name] for one in results] for name in group.rows}
    ours = median(rates[group.rows[0]])
    return [Row(name, median(r), min(r), max(r), ours / median(r)) for name, r in rates.items()]


def facts(*, broker: str, rounds: int, backlog: int, load: float) -> list[str]:
    """What the figures depend on; ``load`` is what else the machine had to do."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("fmq-core", "paho-mqtt", "litequeue"))
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs ({platform.machine()}), {platform.system()}; load average at the start: {load:.1f}",
        f"Python {platform.python_version()}, {packages}, SQLite {apsw.sqlite_lib_version()}, Mosquitto {broker}",
        f"Rounds: {rounds}; messages in each: {backlog:,}, of 115 bytes (JSON), QoS 1",
    ]


def as_text(groups: Sequence[Group], results: Sequence[dict[str, float]], known: Sequence[str]) -> str:
    """For a terminal."""
    lines = [*known, ""]
    for group in groups:
        table = [_HEAD, *(row.cells() for row in rows(group, results))]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEAD))]
        lines.append(group.title)
        for name, *numbers in table:
            cells = [name.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))]
            lines.append("  " + "  ".join(cells))
        lines.append("")
    return "\n".join(lines) + "\n"


def as_markdown(groups: Sequence[Group], results: Sequence[dict[str, float]], known: Sequence[str]) -> str:
    """For docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, which measures everything in turn on one machine in one run. Compare figures of one",
        "run only: another machine, disk or broker gives others. Each figure is the median of all rounds, the spread",
        'goes from the slowest to the fastest round, and "fmq is" tells how many times as fast fmq\'s median is.',
        "",
        *(f"- {fact}" for fact in known),
        "",
    ]
    for group in groups:
        lines += [f"## {group.title}", "", group.about, ""]
        lines += ["| " + " | ".join(_HEAD) + " |", "| --- | ---: | ---: | ---: |"]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in rows(group, results)]
        lines.append("")
    return "\n".join(lines)
