"""How fast a processor handles a backlog, and how much processor time it takes for that."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from bench import programs
from bench.measure import DEADLINE, TESTS, TOPIC, Round, await_done
from bench.store import fill
from fmq.store.backends import open_store
from support.processes import FmqProcess, Processes
from support.wait import wait_for


class Cost(NamedTuple):
    """Messages a second, and microseconds of processor time per message (user and system, all threads)."""

    rate: float
    microseconds: float


def of_processor(turn: Round, count: int, settings: Mapping[str, object]) -> Cost:
    """``fmq process`` over a backlog. Its queue is paused until it is ready, so that start-up does not count."""
    folder = Path(mkdtemp(dir=turn.folder))
    with open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as store, Processes(folder) as processes:
        fill(store, count)
        store.pause(TOPIC, "not yet")
        process = programs.process(processes, "nothing", **settings)
        with measured(process, count) as found:
            store.resume(TOPIC)
            found.ended = await_done(store, count)
    return found.cost


_NOTHING = Cost(0.0, 0.0)


@dataclass(slots=True)
class Measured:
    """What is being measured. ``ended`` is a Unix time that the caller sets; ``cost`` is there at the end."""

    ended: float = 0.0
    cost: Cost = _NOTHING


@contextmanager
def measured(process: FmqProcess, count: int) -> Iterator[Measured]:
    """Wait until a processor is ready, measure what it takes for ``count`` messages, and terminate it."""
    process.wait_to_say("Starting processor")
    wait_for(lambda: '"status": "ok"' in process.get("readyz"), 30)
    found = Measured()
    before, began = _spent(process.pid), time.time()
    yield found
    spent = _spent(process.pid) - before
    process.terminate()
    found.cost = Cost(count / (found.ended - began), spent / count / 1000)


def of_program(kind: str, where: str, *, count: int, at_once: int) -> Cost:
    """A plain program of plain.py. It measures itself."""
    command = [sys.executable, "-m", "bench.handling.plain", kind, where, str(count), str(at_once)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE, cwd=TESTS)
    seconds, processor_seconds = json.loads(done.stdout)
    return Cost(count / seconds, processor_seconds / count * 1e6)


def _spent(pid: int) -> int:
    """Nanoseconds that all threads of a process have run."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text(encoding="ascii").split()[0]) for file in files)
