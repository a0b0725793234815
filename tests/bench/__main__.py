"""How fast fmq is, beside what one would write without it: ``python tests/bench [--quick]``.

Several rounds in turn on one machine in one run; the table has medians and spreads. A full run also writes
docs/benchmarks.md. Nothing here fails because a machine is slow.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[0] = str(_TESTS)  # in place of this folder, so that its modules are bench.…

from bench import listening, processing, report  # noqa: E402

_DOCUMENT = _TESTS.parent / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="One short round, for a first look; writes no document.")
    quick = parser.parse_args().quick
    rounds, backlog = (1, 10_000) if quick else (5, 40_000)
    began, load = time.monotonic(), os.getloadavg()[0]
    results: list[dict[str, float]] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="fmq-bench-") as folder:
            sys.stderr.write(f"round {number + 1} of {rounds}, {time.monotonic() - began:.0f} s so far\n")
            measured = listening.measure(Path(folder) / "listening", backlog=backlog, turn=number)
            measured |= processing.measure(Path(folder) / "processing", backlog=backlog, turn=number)
            results.append(measured)
    groups = [*listening.groups(), *processing.groups()]
    facts = report.facts(broker=listening.broker_version(), rounds=rounds, backlog=backlog, load=load)
    sys.stdout.write(report.as_text(groups, results, facts))
    if not quick:
        _DOCUMENT.parent.mkdir(exist_ok=True)
        _DOCUMENT.write_text(report.as_markdown(groups, results, facts), encoding="utf-8")
        sys.stderr.write(f"written to docs/benchmarks.md, after {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
