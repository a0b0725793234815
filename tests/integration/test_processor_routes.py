"""`fmq process` with four routes of a configuration file, one of which hangs and one of which fails."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.counting import counted, counters, query
from support.processes import Processes
from support.wait import wait_for

HANDLERS = """
import os, threading, logging
import fmq

def hang(message):
    with open("hangs", "a") as file:
        file.write("x")
    threading.Event().wait()

def fail(message):
    raise fmq.Unavailable(reason="it is down")

def note(message):
    logging.getLogger("mine").info("got %s", message.topic)

async def count(message):
    pass
"""
ROUTES = """
[store]
url = "sqlite:///queue.db"
[processor]
grace_seconds = "1s"
[[route]]
name = "hangs"
queues = ["alarms/+"]
topics = ["alarms/fire"]
handler = "mine:hang"
handler_timeout = "100ms"
circuit_failures = 0
max_retries = 0
[[route]]
name = "fails"
queues = ["alarms/+"]
topics = ["alarms/smoke", "alarms/gas"]
handler = "mine:fail"
[[route]]
name = "alarms"
queues = ["alarms/+"]
handler = "mine:note"
[[route]]
name = "readings"
queues = ["sensors/#"]
handler = "mine:count"
batch = 200
"""
COUNT = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(HANDLERS, encoding="utf-8")
    (tmp_path / "fmq.toml").write_text(ROUTES, encoding="utf-8")
    return tmp_path


def _fill(store: Store, at: float) -> None:
    for name, topics in (("alarms/+", ("alarms/fire", "alarms/smoke", "alarms/door")), ("sensors/#", ("sensors/a",))):
        store.declare(name)
        for topic in topics:
            store.put([Incoming(name, topic, b"x", at)] * COUNT)


def _reported(store: Store) -> Mapping[str, object]:
    """What the only processor says of itself, every ten seconds."""
    (service,) = store.services()
    return service.report.state


def test_four_routes(folder: Path) -> None:
    """Two work as if they were alone; circuits, counts and replaced handlers are those of each route; all end together."""
    database = folder / "queue.db"
    with open_store(f"sqlite:///{database}") as store, Processes(folder) as processes:
        _fill(store, 1_800_000_000.0)
        process = processes.start("process", PYTHONPATH=folder)
        process.wait_to_say("Starting processor")
        wait_for(lambda: store.stats("sensors/#").done == COUNT, what="the readings")
        wait_for(lambda: store.stats("alarms/+").done == COUNT, what="the alarms")
        assert {route["route"] for route in process.said("got alarms/door")} == {"alarms"}
        process.wait_to_say("Route hangs has a new handler")
        assert process.running
        metrics = process.get("metrics")
        assert 'fmq_circuit_open{route="fails"} 1.0' in metrics
        assert 'fmq_circuit_open{route="alarms"} 0.0' in metrics
        assert f'fmq_route_processed_total{{outcome="done",route="alarms"}} {COUNT}.0' in metrics
        assert f'fmq_route_processed_total{{outcome="done",route="readings"}} {COUNT}.0' in metrics
        ready = json.loads(process.get("readyz"))
        assert ready["notes"]["circuit of route fails"].startswith("open: ")
        assert ready["notes"]["circuit of route alarms"] == "closed"
        wait_for(lambda: _reported(store)["circuit"] != "closed", what="a report since the circuit opened")
        assert _reported(store)["queues"] == ["alarms/+", "sensors/#"]
        assert str(_reported(store)["circuit"]).startswith("fails: open: ")
        store.put([Incoming("alarms/+", "alarms/door", b"x", 1_800_000_000.0)])
        wait_for(lambda: store.stats("alarms/+").done == COUNT + 1, what="another alarm")
        assert process.terminate() == 0
        stats = store.stats("alarms/+")
        assert stats.claimed == 0
        assert stats.pending + stats.dead == 2 * COUNT
        assert counted(database) == counters(database)
        attempts = "SELECT count(*) FROM msg_alarms__ WHERE topic = 'alarms/smoke' AND retry_count > 0"
        assert query(database, attempts) == [(0,)]


def test_what_was_set_aside_outlives_the_process(folder: Path) -> None:
    """The next one, with handlers that work, takes it at once."""
    with open_store(f"sqlite:///{folder / 'queue.db'}") as store, Processes(folder) as processes:
        _fill(store, 1_800_000_000.0)
        process = processes.start("process", PYTHONPATH=folder)
        wait_for(lambda: store.stats("alarms/+").done == COUNT, what="the alarms")
        assert process.terminate() == 0
        healed = ROUTES.replace("mine:fail", "mine:count").replace("mine:hang", "mine:count")
        (folder / "fmq.toml").write_text(healed, encoding="utf-8")
        process = processes.start("process", PYTHONPATH=folder)
        wait_for(lambda: store.stats("alarms/+").pending == 0, what="the alarms that were set aside")
        assert process.terminate() == 0
