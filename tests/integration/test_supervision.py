"""Real services whose threads die, whose name server is silent, or whose handler can't be called."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming, unique_id
from fmq.store.backends import open_store
from support.processes import Processes
from support.wait import wait_for

HANDLERS = """
from pathlib import Path

import fmq.service.upkeep


def handle(message):
    with Path("ids").open("a") as out:
        print(message.unique_id, file=out)


def wrong(message, database):
    pass


def dying(message):
    pass


def _die(*_):
    raise TypeError("an odd row")


if Path("die").exists():
    fmq.service.upkeep.Upkeep._round = _die
"""
SILENT = """
import socket, time

whole = socket.getaddrinfo


def getaddrinfo(host, *args, **kwargs):
    if host == "broker.example":
        time.sleep(600)
    return whole(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    with Processes(tmp_path) as made:
        yield made


def test_a_thread_that_dies_ends_the_service_with_its_traceback(processes: Processes, tmp_path: Path) -> None:
    """With exit code 1, so that whatever started it starts it again."""
    (tmp_path / "die").touch()
    processor = processes.start("process", FMQ_HANDLER="handlers:dying", FMQ_UPKEEP="true")
    assert processor.wait() == 1
    (line,) = processor.said("Thread upkeep died, stopping the service: TypeError: an odd row")
    assert line["level"] == "CRITICAL"
    assert "in _die" in line["traceback"]


def test_a_silent_name_server_delays_no_stop(processes: Processes, tmp_path: Path) -> None:
    """A listener that looks its broker up stops at SIGTERM as always, and is alive until then."""
    (tmp_path / "sitecustomize.py").write_text(SILENT)
    listener = processes.start(
        "listen", "a", FMQ_BROKER_URL="mqtt://broker.example", FMQ_GRACE_SECONDS=60, PYTHONPATH=tmp_path
    )
    listener.wait_to_say("Serving metrics and health")
    assert '"ok"' in listener.get("healthz")
    began = time.monotonic()
    assert listener.terminate() == 0
    assert time.monotonic() - began < 20
    assert listener.said("Received signal 15"), listener.text


def test_a_wrong_signature_is_refused_at_start(processes: Processes) -> None:
    """With exit code 2 and what is wrong, and without a traceback."""
    processor = processes.start("process", FMQ_HANDLER="handlers:wrong")
    assert processor.wait() == 2
    assert "missing a required argument: 'database'" in processor.text
    assert "Traceback" not in processor.text


def test_messages_name_themselves_to_a_handler(processes: Processes, tmp_path: Path) -> None:
    """By the store that the processor serves."""
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as queue:
        queue.declare("q")
        queue.put([Incoming("q", "q", b"x", 1_764_000_000.0)])
        (message,) = queue.messages("q", [1])
        expected = str(unique_id(queue.identity(), message))
    processor = processes.start("process", FMQ_HANDLER="handlers:handle")
    told = tmp_path / "ids"
    wait_for(told.exists, what="the message to be handled")
    assert processor.terminate() == 0
    assert told.read_text() == f"{expected}\n"
