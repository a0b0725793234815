"""Breaks everything and counts what is lost: ``python tests/chaos [--scale N] [--only NAME]``.

The seed is printed, and taken from FMQ_CHAOS_SEED. A whole run writes docs/reliability.md. The exit code is 1 if anything
was lost, was wrong, or if a control run passed.
"""

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[0] = str(_TESTS)  # in place of this folder, so that its modules are chaos.…

from chaos import report  # noqa: E402
from chaos.parts import PARTS  # noqa: E402
from chaos.scenario import Control, Findings, Result, Scenario, Setting  # noqa: E402

_DOCUMENT = _TESTS.parent / "docs" / "reliability.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/chaos", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="Only this part; writes no document.")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="How much of everything; another than 1 writes no document."
    )
    parser.add_argument(
        "--hours", type=float, default=0.0, help="Repeatedly, each time with another seed, for so long."
    )
    arguments = parser.parse_args()
    seed = int(os.environ.pop("FMQ_CHAOS_SEED", "") or random.SystemRandom().randrange(10**9))
    end = time.monotonic() + arguments.hours * 3600
    fine = True
    while True:
        found, facts = _run_all(seed, arguments.only or list(PARTS), arguments.scale)
        sys.stdout.write(report.as_text(found))
        fine = fine and report.is_fine(found)
        if not arguments.only and arguments.scale == 1:
            _DOCUMENT.write_text(report.as_markdown(found, facts), encoding="utf-8")
        if time.monotonic() >= end or not fine:
            sys.stdout.write(f"{'All is well' if fine else 'FAILED'}; seed {seed}\n")
            return 0 if fine else 1
        seed += 1


def _run_all(seed: int, parts: Sequence[str], scale: float) -> tuple[Findings, report.Facts]:
    sys.stdout.write(f"Seed {seed}: the same again with FMQ_CHAOS_SEED={seed}\n")
    sys.stdout.flush()
    began, busy = time.monotonic(), os.getloadavg()[0]
    found: list[Result | Control] = []
    for name in parts:
        for number, scenario in enumerate(PARTS[name]):
            one = _run(scenario, f"{name} {number}", seed, scale)
            sys.stderr.write(f"{time.monotonic() - began:6.0f} s: {report.name_of(one)}, {one.seconds:.1f} s\n")
            found.append(one)
    return found, report.Facts(seed=seed, seconds=time.monotonic() - began, load=busy)


def _run(scenario: Scenario, name: str, seed: int, scale: float) -> Result | Control:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fmq-chaos-", ignore_cleanup_errors=True) as folder:
        try:
            one = scenario(Setting(Path(folder), seed, scale))
        except Exception as error:  # noqa: BLE001 - one scenario that fails does not hide what the others find
            traceback.print_exc()
            one = Result(name, faults=[f"{type(error).__name__}: {str(error)[:500]}"])
    one.seconds = time.monotonic() - began
    return one


if __name__ == "__main__":
    sys.exit(main())
