"""Throughput of fmq, compared with what one would use without it: ``python tests/bench [--quick] [--only NAME]``.

Several rounds in turn on one machine in one run. A full run writes docs/benchmarks.md and its plots. Nothing here
fails because a machine is slow.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[0] = str(_TESTS)  # in place of this folder, so that its modules are bench.…

from bench import (  # noqa: E402
    deep,
    drain,
    endtoend,
    filters,
    footprint,
    latency,
    metrics,
    postgres,
    processing,
    programs,
    ratios,
    report,
    routes,
    scale,
    snapshot,
    store,
    web,
)
from bench.handling import part as handling  # noqa: E402
from bench.measure import Figures, Part, Round  # noqa: E402

_DOCS = _TESTS.parent / "docs"
_PARTS: Mapping[str, Part] = {
    "drain": drain,
    "store": store,
    "process": processing,
    "handlers": handling,
    "endtoend": endtoend,
    "latency": latency,
    "filters": filters,
    "footprint": footprint,
    "deep": deep,
}
_ON_REQUEST: Mapping[str, Part] = {
    "routes": routes,
    "web": web,
    "postgres": postgres,
    "scale": scale,
    "metrics": metrics,
    "snapshot": snapshot,
}
"""Only with --only: their figures are on other pages, and with them a run would take two hours."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="One short round, for a first look; writes no document.")
    parser.add_argument(
        "--only", action="append", choices=[*_PARTS, *_ON_REQUEST], help="Only this part; writes no document."
    )
    parser.add_argument("--rounds", type=int, help="How many rounds; 5 by default, and 1 with --quick.")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="Keep the ratios in tests/bench/ratios.toml, for later runs to compare with.",
    )
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    every = {**_PARTS, **_ON_REQUEST}
    chosen = {name: part for name, part in every.items() if name in (arguments.only or _PARTS)}
    began, load = time.monotonic(), os.getloadavg()[0]
    results: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="fmq-bench-") as kept:
        for number in range(rounds):
            figures: Figures = {}
            for name, part in chosen.items():
                sys.stderr.write(f"round {number + 1} of {rounds}: {name}, {time.monotonic() - began:.0f} s so far\n")
                figures |= _measure(name, part, number, Path(kept), quick=arguments.quick)
            results.append(figures)
    parts = list(chosen.values())
    facts = report.facts(broker=programs.broker_version(), rounds=rounds, load=load)
    sys.stdout.write(report.as_text(parts, results, facts))
    if not arguments.quick:  # its figures are of other sizes
        lines = list(ratios.moved(parts, results, ratios.read()))
        sys.stdout.write(
            "\n".join(["", "Moved by more than their noise", *(f"  {one}" for one in lines or ["none"]), ""])
        )
    if arguments.keep:
        ratios.keep(parts, results)
    if not (arguments.quick or arguments.only):
        _write(parts, results, facts)
        sys.stderr.write(f"written to docs/benchmarks.md, after {time.monotonic() - began:.0f} s\n")


def _measure(name: str, part: Part, number: int, kept: Path, *, quick: bool) -> Figures:
    (kept / name).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fmq-bench-") as folder:
        return part.measure(Round(number, quick, Path(folder), kept / name))


def _write(parts: list[Part], results: list[Figures], facts: list[str]) -> None:
    (_DOCS / "img").mkdir(parents=True, exist_ok=True)
    for file, chart in report.plots(parts, results):
        (_DOCS / "img" / file).write_text(chart, encoding="utf-8")
    (_DOCS / "benchmarks.md").write_text(report.as_markdown(parts, results, facts), encoding="utf-8")


if __name__ == "__main__":
    main()
