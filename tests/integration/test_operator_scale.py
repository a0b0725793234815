"""Dead letters by the many: a list at once, a requeue in little memory. FMQ_TEST_DEAD sets how many."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.selection import Selection, State
from support.counting import counted, counters
from support.processes import FMQ

_DEAD = int(os.environ.get("FMQ_TEST_DEAD", "3000"))
_STEP_SECONDS = 1.0


# A small program between: what Linux calls the largest memory of a process includes that of the one it was forked from.
_MEASURE = """
import os, sys
pid = os.fork() or os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
"""


class _Run(NamedTuple):
    """What a command came to: ``seconds`` of processor time, and ``peak``, its largest resident memory, in KiB."""

    code: int
    seconds: float
    peak: int
    text: str


def make(path: Path, count: int) -> None:
    with open_store(f"sqlite:///{path}", StoreOptions(durability=Durability.NORMAL)) as queue:
        queue.declare("q")
        for start in range(0, count, 1_000):
            numbers = range(start, start + min(1_000, count - start))
            queue.put([Incoming("q", f"plant/{n % 50}", b"x" * 100, time.time()) for n in numbers])
            claims = queue.claim("q", 1_000, lease=600)
            queue.settle([(one, Dead("refused" if one.message.id % 1_000 else "rare")) for one in claims])


def run(path: Path, *words: str) -> _Run:
    # Without memory mapping: mapped pages of the file are not memory that the program needs.
    environ = {**os.environ, "FMQ_QUEUE_URL": f"sqlite:///{path}", "FMQ_MMAP_BYTES": "0"}
    program = [sys.executable, "-S", "-c", _MEASURE, str(FMQ), *words]
    told = subprocess.run(program, env=environ, capture_output=True, text=True, check=True)
    code, seconds, peak = told.stderr.splitlines()[-1].split()
    return _Run(int(code), float(seconds), int(peak), told.stdout)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with as many dead letters as were asked for, and one with a tenth of them."""
    folder = tmp_path_factory.mktemp("dead")
    large, small = folder / "large.db", folder / "small.db"
    make(large, _DEAD)
    make(small, _DEAD // 10)
    return large, small


@pytest.mark.timeout(900)
def test_listing_and_requeuing_the_many(stores: tuple[Path, Path]) -> None:
    """A list takes no longer with ten times as many, nor does a step of a search; requeuing all needs no more memory."""
    large, small = stores
    listed = run(large, "dead", "list", "q", "--limit", "5")
    told = [f"list of {_DEAD:,}: {listed.seconds:.2f} s"]
    assert f"5 of {_DEAD:,} dead letters" in listed.text
    assert listed.seconds < run(small, "dead", "list", "q", "--limit", "5").seconds + 1

    with open_store(f"sqlite:///{large}") as queue:
        after: int | None = 0
        longest, looked_at, found = 0.0, 0, 0
        while after is not None:
            start = time.process_time()
            step = queue.find("q", Selection(State.DEAD, topic="plant/+", reason="RARE"), after_id=after)
            longest = max(longest, time.process_time() - start)
            looked_at, found, after = looked_at + step.looked_at, found + len(step.ids), step.after_id
    assert (looked_at, found) == (_DEAD, _DEAD // 1_000)
    assert longest < _STEP_SECONDS
    told.append(f"longest step of a search by topic and reason: {longest * 1000:.0f} ms")

    runs = [run(path, "dead", "requeue", "q", "--all") for path in (small, large)]
    told += [f"requeue: {one.seconds:.1f} s, at most {one.peak / 1024:.0f} MiB" for one in runs]
    assert [one.code for one in runs] == [0, 0]
    assert runs[1].peak < runs[0].peak * 1.2
    assert counted(large)["q"] == counters(large)["q"] == (_DEAD, 0, 0, 0)
    print("\n".join(told))  # noqa: T201 - the figures, with pytest -s


@pytest.mark.timeout(900)
def test_moving_the_many(stores: tuple[Path, Path], tmp_path: Path) -> None:
    """Exporting and importing ten times as many needs no more memory."""
    peaks = []
    for number, path in enumerate(reversed(stores)):
        file = tmp_path / f"{number}.jsonl"
        exported = run(path, "export", "q", "--output", str(file), "--state", "pending", "--state", "dead")
        imported = run(tmp_path / f"{number}.db", "import", str(file))
        assert (exported.code, imported.code) == (0, 0)
        peaks.append((exported.peak, imported.peak))
        lines = len(file.read_bytes().splitlines()) - 2  # without the first and the last one
        assert sum(counted(tmp_path / f"{number}.db")["q"]) == lines
    (small_out, small_in), (large_out, large_in) = peaks
    assert large_out < small_out * 1.2
    assert large_in < small_in * 1.2
    print(f"export: at most {large_out / 1024:.0f} MiB, import: {large_in / 1024:.0f} MiB")  # noqa: T201 - as above
