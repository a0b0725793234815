"""FMQ_RATE_LIMIT, which several real processes share."""

import json
from pathlib import Path

from fmq.message import Incoming
from fmq.store.roles import Store
from support.handing import QUEUE
from support.processes import Processes
from support.wait import wait_for

HANDLER = """
import os, time

SEEN = os.open("seen", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

def handle(message):
    os.write(SEEN, f"{time.clock_gettime(time.CLOCK_MONOTONIC)} {os.getpid()}\\n".encode())
"""
RATE, BURST, SECONDS = 40.0, 40, 4.0


def test_processes_share_a_rate(fmq: Processes, queue: Store, tmp_path: Path) -> None:
    """Three together handle no more than the limit and the burst, and no fewer than the limit."""
    (tmp_path / "mine.py").write_text(HANDLER)
    queue.put([Incoming(QUEUE, QUEUE, b"x", 1_700_000_000.0) for _ in range(1000)])
    settings = {"FMQ_HANDLER": "mine:handle", "FMQ_RATE_LIMIT": f"{RATE:g}/s", "FMQ_TOPICS": QUEUE}
    started = [fmq.start("process", **settings) for _ in range(3)]

    def calls() -> list[tuple[float, str]]:
        lines = (tmp_path / "seen").read_text().splitlines() if (tmp_path / "seen").exists() else []
        return sorted((float(at), pid) for at, pid in (line.split() for line in lines))

    wait_for(lambda: len({pid for _, pid in calls()}) == 3, 60, what="all processors")
    begun = calls()[-1][0]
    wait_for(lambda: calls()[-1][0] > begun + SECONDS, 60, what="the last call")
    assert 'fmq_rate_limited_seconds_total{route="main"} 0.0' not in started[0].get("metrics")
    ready = json.loads(started[0].get("readyz"))
    assert (ready["status"], ready["notes"]["rate"][:4]) == ("ok", "40/s")
    times = [at for at, _ in calls()]
    during = [at for at in times if begun <= at < begun + SECONDS]
    assert len(during) <= RATE * SECONDS + BURST
    assert len(times) >= RATE * (times[-1] - times[0]) * 0.9
    for process in started:
        assert process.terminate() == 0
    assert queue.stats(QUEUE).claimed == 0
