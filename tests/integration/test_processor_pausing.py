"""A bad version of a handler, and the operator who puts it right: real processes and commands."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.processes import FMQ, Processes
from support.wait import wait_for

QUEUE = "dstdb"
HANDLERS = """
import fmq

def bad(message):
    raise fmq.Reject("no such column: temprature")

def good(message):
    pass
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "user_code.py").write_text(HANDLERS, encoding="utf-8")
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as opened:
        opened.declare(QUEUE)
        yield opened


def fmq(folder: Path, *words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
    return subprocess.run(
        [FMQ, *words], cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=30
    ).stdout


def test_a_bad_deploy(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """20 of 500 die, the queue is paused and shown with the reason; a good handler, resume and requeue: all is done."""
    queue.put([Incoming(QUEUE, QUEUE, b"%d" % number, time.time()) for number in range(500)])
    bad = processes.start("process", QUEUE, "50", "0.1", FMQ_HANDLER="user_code:bad", FMQ_DEAD_LETTER_LIMIT=20)
    bad.wait_to_say("Paused queue dstdb: too many dead letters")
    wait_for(lambda: queue.stats(QUEUE).claimed == 0, what="what was held to be given back")
    assert (queue.stats(QUEUE).pending, queue.stats(QUEUE).dead) == (480, 20)
    shown = fmq(tmp_path, "status")
    assert "dstdb is paused since" in shown
    assert "too many dead letters, the last: no such column: temprature" in shown
    metrics = bad.get("metrics")
    assert 'fmq_queue_paused{queue="dstdb"} 1.0' in metrics
    assert 'fmq_dead_letter_pauses_total{route="main"} 1.0' in metrics
    assert bad.terminate() == 0
    good = processes.start("process", QUEUE, "50", "0.1", FMQ_HANDLER="user_code:good")
    good.wait_to_say("Starting processor")
    assert queue.stats(QUEUE).pending == 480
    fmq(tmp_path, "resume", QUEUE)
    wait_for(lambda: queue.stats(QUEUE).done == 480, what="those that were kept")
    assert queue.requeue_dead(QUEUE) == 20
    wait_for(lambda: queue.stats(QUEUE).done == 500, what="those that had died")
    assert good.terminate() == 0
