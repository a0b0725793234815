"""A webhook's target that is stopped and started again. The number of messages: FMQ_TEST_MESSAGES, 1,000 by default."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support import receiver
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "dstdb"
MESSAGES = int(os.environ.get("FMQ_TEST_MESSAGES", "1000"))
QUICK = {"FMQ_CIRCUIT_INITIAL": 0.1, "FMQ_CIRCUIT_MAXIMUM": 0.5, "FMQ_LEASE_SECONDS": 1}


class Receivers:
    """One after the other on the same port; ``lines`` is what they have got together."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "received"
        self._running: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        self._running = subprocess.Popen(
            [sys.executable, receiver.__file__, str(self.port), self._file], stdout=subprocess.PIPE, text=True
        )
        assert self._running.stdout is not None
        self.port = int(self._running.stdout.readline())

    def kill(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Ids and bodies."""
        if not self._file.exists():
            return []
        complete = self._file.read_text(encoding="ascii").split("\n")[:-1]
        return [(identity, body) for identity, _, body in (line.partition(" ") for line in complete)]


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    started = Receivers(tmp_path)
    started.start()
    yield started
    started.kill()


@contextmanager
def queue_of(folder: Path, count: int) -> Iterator[Store]:
    with open_store(f"sqlite:///{folder}/mqtt_queue.db") as queue:
        queue.declare(QUEUE)
        for start in range(0, count, 1_000):
            numbers = range(start, min(start + 1_000, count))
            queue.put([Incoming(QUEUE, QUEUE, b"%d" % number, time.time()) for number in numbers])
        yield queue


def figure(process: FmqProcess, series: str) -> float:
    """What the processor's metrics say of one series."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", process.get("metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_nothing_is_lost_while_the_target_is_away(tmp_path: Path, fmq: Processes, receivers: Receivers) -> None:
    """The target is killed and comes back, then the processor: all arrives, and what arrives twice has the same id."""

    def start() -> FmqProcess:
        flags = ("--handler", "webhook", "--webhook-url", f"http://127.0.0.1:{receivers.port}/hook")
        return fmq.start("process", QUEUE, "50", "0.1", *flags, **QUICK)

    with queue_of(tmp_path, MESSAGES) as queue:
        process = start()
        wait_for(lambda: len(receivers.lines) > MESSAGES // 4, 60, what="a quarter of the messages")
        receivers.kill()
        before = len(receivers.lines)
        assert before < MESSAGES
        wait_for(
            lambda: figure(process, 'fmq_circuit_probes_total{route="main"}') > 8, 60, what="probes that find nobody"
        )
        assert len(receivers.lines) == before
        refused = figure(process, 'fmq_webhook_requests_total{status="none"}')
        receivers.start()
        wait_for(lambda: len(receivers.lines) > MESSAGES // 2, 60, what="half of the messages")
        process.kill()
        process = start()
        wait_for(lambda: queue.stats(QUEUE).done == MESSAGES, 60 + MESSAGES / 100, what="all messages")
        assert queue.stats(QUEUE).dead == 0
        assert process.terminate() == 0
    lines = receivers.lines
    assert {body for _, body in lines} == {str(number) for number in range(MESSAGES)}
    assert len(set(lines)) == len({identity for identity, _ in lines}) == MESSAGES
    twice = len(lines) - MESSAGES
    print(f"{MESSAGES} messages, {len(lines)} deliveries, {twice} of them again, {refused:g} requests without answer")  # noqa: T201 - shown by pytest -s
    assert twice <= 4 * 50  # what was under way when the target and the processor were killed


def test_wrong_settings(tmp_path: Path, fmq: Processes) -> None:
    """Those of the processor and of the handler at once; exit code 2, no secret shown."""
    process = fmq.start(
        "process",
        QUEUE,
        "none",
        "--handler",
        "webhook",
        "--webhook-timeout",
        "0",
        FMQ_WEBHOOK_URL="htp://me:hunter2@host",
        FMQ_WEBHOOK_SECRETS="whsec_hunter2",
    )
    assert process.wait() == 2
    assert len(json.loads(process.text)["problems"]) == 4
    for part in ("BATCH='none'", "--webhook-timeout='0'", "FMQ_WEBHOOK_URL='htp://host'"):
        assert part in process.text
    assert "hunter2" not in process.text
    assert not (tmp_path / "mqtt_queue.db").exists()
