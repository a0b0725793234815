"""What a run has found, for a terminal and for docs/reliability.md."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import apsw

from chaos.scenario import Control, Findings, Result
from support.broker import version

_INTRODUCTION = """# Reliability

Written by `make chaos`, which breaks real processes, brokers, networks, disks and clocks, and then holds what is in the
store and what handlers got against what the broker had acknowledged to the publisher. `make soak` does the same for hours.
What must hold is in [invariants.md](invariants.md); how each fault is made is in `tests/chaos`.

- *lost*: acknowledged, and in the end in no row of the store or never handled. It has to be 0.
- *duplicated*: stored more than once. A connection that ends between commit and PUBACK makes the broker (or the
  publisher) send again, which MQTT's at-least-once allows.
- *recovered in*: the longest time from the end of a fault until intake or handling went on, and how long it may take: more
  would be a fault. *Took* is the whole scenario.
- Every line also holds: the file passes `integrity_check` and the counters equal a count of the tables. Where the handlers'
  journal or the table allows it: first copies are stored in the order of their topic, and no message was lent to two workers
  within one lease.
"""
_CONTROLS = """## Control runs

Each breaks one promise on purpose. A check that cannot see that would prove nothing: these runs have to fail.
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the figures depend on."""

    seed: int
    seconds: float
    load: float


def results(found: Findings) -> list[Result]:
    return [one for one in found if isinstance(one, Result)]


def controls(found: Findings) -> list[Control]:
    return [one for one in found if isinstance(one, Control)]


def is_fine(found: Findings) -> bool:
    """Whether nothing was lost or wrong, and every control run failed."""
    return all(one.is_fine for one in results(found)) and all(one.noticed for one in controls(found))


def as_text(found: Findings) -> str:
    """For a terminal."""
    rows = [_HEAD, *map(_row, results(found))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{one.scenario}: {'; '.join(one.notes)}" for one in results(found) if one.notes]
    lines += [f"control: {one.name}: {one.noticed or 'NOT NOTICED'}" for one in controls(found)]
    lines += [f"FAULT in {one.scenario}: {fault}" for one in results(found) for fault in one.faults]
    return "\n".join(lines) + "\n"


def name_of(one: Result | Control) -> str:
    """What it is called in the report."""
    return one.scenario if isinstance(one, Result) else f"control: {one.name}"


_HEAD = ("scenario", "runs", "messages", "lost", "duplicated", "recovered in", "took")


def _row(one: Result) -> tuple[str, ...]:
    recovered = "" if one.recovered_in is None else f"{one.recovered_in:.1f} of {one.within:g} s"
    return (
        one.scenario,
        f"{one.runs:,} {one.what}",
        f"{one.messages:,}",
        f"{one.lost:,}",
        f"{one.duplicated:,}",
        recovered,
        f"{one.seconds:.0f} s",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *rest]


def as_markdown(found: Findings, facts: Facts) -> str:
    """The document."""
    ran = results(found)
    total = sum(one.messages for one in ran)
    kills = sum(one.kills for one in ran)
    lines = [
        _INTRODUCTION,
        (
            f"- {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs ({platform.machine()}), {platform.system()}; load average "
            f"at the start {facts.load:.1f}; {facts.seconds / 60:.0f} minutes"
        ),
        f"- Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, Mosquitto {version()}",
        f"- Seed {facts.seed}: `FMQ_CHAOS_SEED={facts.seed} make chaos` draws the same faults",
        f"- In all: {total:,} messages, {kills:,} processes killed with SIGKILL, {sum(one.lost for one in ran):,} lost",
        "",
        "## Scenarios",
        "",
        *_table([_HEAD, *map(_row, ran)]),
        "",
        *(f"- {one.scenario}: {'; '.join(one.notes)}" for one in ran if one.notes),
        *(f"- **Fault** in {one.scenario}: {fault}" for one in ran for fault in one.faults),
        "",
        _CONTROLS,
        *_table(
            [
                ("wrong on purpose", "noticed"),
                *((one.name, one.noticed or "**not noticed**") for one in controls(found)),
            ]
        ),
        "",
    ]
    return "\n".join(lines)
