"""Numbered messages in a queue, processors with a built-in handler, and what arrived."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fmq.message import Incoming
from fmq.store.roles import Store
from support.counting import counted, counters
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "dstdb"


def how_many(usually: int) -> int:
    """How many messages a test uses: FMQ_TEST_MESSAGES."""
    return int(os.environ.get("FMQ_TEST_MESSAGES", usually))


def kills(messages: int) -> int:
    """How often a test with this number of messages kills a processor."""
    return 1 + messages // 2_500


def put_numbers(queue: Store, numbers: range) -> None:
    """Store messages whose payloads are these numbers."""
    queue.declare(QUEUE)
    for first in range(0, len(numbers), 1_000):
        part = numbers[first : first + 1_000]
        queue.put([Incoming(QUEUE, f"t{number % 7}", b"%d" % number, time.time()) for number in part])


def start_processor(processes: Processes, handler: str, **settings: object) -> FmqProcess:
    """A processor whose retries and probes follow quickly on each other."""
    usual = {
        "FMQ_HANDLER": handler,
        "FMQ_BATCH": 100,
        "FMQ_SLEEP": 0.05,
        "FMQ_BACKOFF_INITIAL": 0.05,
        "FMQ_BACKOFF_MAXIMUM": 0.5,
        "FMQ_CIRCUIT_INITIAL": 0.05,
        "FMQ_CIRCUIT_MAXIMUM": 0.2,
        "FMQ_LEASE_SECONDS": 0.5,
    }
    return processes.start("process", QUEUE, **{**usual, **settings})


def stop(process: FmqProcess) -> int:
    """Ask it to end and return its exit code; one that has just been started is let start before."""
    process.wait_to_say("Starting processor")
    return process.terminate()


def wait_until_done(queue: Store, count: int, *, at_least: bool = False) -> None:
    """Until ``count`` messages are done."""

    def done() -> bool:
        now = queue.stats(QUEUE).done
        return now >= count if at_least else now == count

    wait_for(done, 30 + count / 50, what=f"{count} messages done")


def wait_for_outage(process: FmqProcess, number: int) -> None:
    """Until the target counts as down for the ``number``-th time, and has been tried again without success."""
    process.wait_to_say("Starting processor")
    wait_for(lambda: _metric(process, "fmq_circuit_openings_total") >= number, what=f"outage {number}")
    probes = _metric(process, "fmq_circuit_probes_total")
    wait_for(lambda: _metric(process, "fmq_circuit_probes_total") >= probes + 3, what="probes")


def _metric(process: FmqProcess, name: str) -> float:
    """The sum of a metric over its labels."""
    lines = process.get("metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def duplicates(arrived: Iterable[int], database: Path, count: int) -> int:
    """How often a message arrived again. All of 0 to ``count`` have to have arrived and to be done, none dead."""
    calls = Counter(arrived)
    missing = set(range(count)) - set(calls)
    assert not missing, f"{len(missing)} of {count} messages never arrived, such as {min(missing)}"
    assert len(calls) == count
    assert counted(database)[QUEUE] == (0, 0, count, 0)
    assert counters(database) == counted(database)
    again = calls.total() - count
    print(f"{calls.total()} arrived: each of {count}, and {again} again")  # noqa: T201 - shown by pytest -rP
    return again
