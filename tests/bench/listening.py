"""How fast a listener takes the backlog of its session, beside paho alone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import paho_drain
from bench.report import Group
from fmq.queue import open_queue
from support.broker import MOSQUITTO, Broker, publish
from support.processes import Processes
from support.wait import wait_for

_PROGRAM = os.environ.get("FMQ_BENCH_MOSQUITTO") or MOSQUITTO
_INFLIGHT = 10_000
_COMMITTED_SHARE = 8
"""A commit a message is so slow that it gets one message of so many of the backlog."""
_VERSIONS = ("5", "3.1.1")
_KINDS = ("fmq listen, all stored (FULL)", "paho, nothing stored", "paho, a commit a message (FULL)")
_DEADLINE = 120.0


def payload(number: int) -> bytes:
    """A reading of 115 bytes."""
    return (
        b'{"sensor":"a3f09c","kind":"temperature","value":21.375,"unit":"C","at":1764000000.125,"number":%012d,"ok":1}'
        % number
    )


def broker_version() -> str:
    told = subprocess.run([_PROGRAM, "-h"], capture_output=True, text=True, check=False).stdout
    return told.split("\n", 1)[0].rpartition(" ")[2]


def groups() -> list[Group]:
    """What ``measure`` measures."""
    about = (
        "A persistent session's backlog waits in Mosquitto (`max_inflight_messages` "
        f"{_INFLIGHT}). The time runs from the arrival of the first message in the program to the commit of the last one "
        "(its callback, where nothing is stored), so start-up and connecting do not count. `fmq listen` is the real "
        f"process as users start it; the paho programs are `loop_forever` with automatic acknowledgement after the "
        f"callback. The one that commits each message takes the first {_COMMITTED_SHARE}th of the backlog."
    )
    return [
        Group(f"Listener, MQTT {version}", about, tuple(_name(kind, version) for kind in _KINDS))
        for version in _VERSIONS
    ]


def _name(kind: str, version: str) -> str:
    return f"{kind}, MQTT {version}"


def measure(folder: Path, *, backlog: int, turn: int) -> dict[str, float]:
    """Messages a second by name. ``turn`` changes who is first."""
    limits = ["persistence false", f"max_inflight_messages {_INFLIGHT}"]
    with Broker(folder / "broker", limits, program=_PROGRAM) as broker:
        runs: list[tuple[str, Callable[[], float]]] = []
        for version in _VERSIONS:
            runs += _contestants(folder, broker, version, backlog)
        publish(broker.port, ((paho_drain.TOPIC, payload(number)) for number in range(backlog)))
        turn %= len(runs)
        return {name: run() for name, run in runs[turn:] + runs[:turn]}


def _contestants(folder: Path, broker: Broker, version: str, backlog: int) -> list[tuple[str, Callable[[], float]]]:
    """Make a session for each one. Returns what takes its backlog and tells the rate."""
    ours, dropping, committing = (_name(kind, version) for kind in _KINDS)
    few = backlog // _COMMITTED_SHARE
    home = folder / f"fmq-{version}"
    home.mkdir()
    _listen(home, broker, version, lambda: None)
    for name in ("dropping", "committing"):
        _paho(broker, f"{name}-{version}", version, 0)
    database = str(folder / f"paho-{version}.db")
    return [
        (ours, lambda: _drain(home, broker, version, backlog)),
        (dropping, lambda: backlog / _paho(broker, f"dropping-{version}", version, backlog)),
        (committing, lambda: few / _paho(broker, f"committing-{version}", version, few, database)),
    ]


def _listen(home: Path, broker: Broker, version: str, watch: Callable[[], None]) -> None:
    with Processes(home) as processes:
        listener = processes.start(
            "listen",
            paho_drain.TOPIC,
            FMQ_BROKER_URL=broker.url,
            FMQ_MQTT_VERSION=version,
            FMQ_CLIENT_ID=f"fmq-{version}",
        )
        listener.wait_to_say("subscribed")
        watch()
        listener.terminate()


def _drain(home: Path, broker: Broker, version: str, backlog: int) -> float:
    rates: list[float] = []

    def watch() -> None:
        with open_queue(f"sqlite:///{home / 'mqtt_queue.db'}") as queue:
            wait_for(lambda: queue.stats(paho_drain.TOPIC).stored >= backlog, _DEADLINE, what="the last commit")
            end = time.time()
            begin = queue.stats(paho_drain.TOPIC).oldest_pending_at
        assert begin is not None
        rates.append(backlog / (end - begin))

    _listen(home, broker, version, watch)
    return rates[0]


def _paho(broker: Broker, client_id: str, version: str, count: int, *database: str) -> float:
    command = [sys.executable, paho_drain.__file__, str(broker.port), client_id, version, str(count), *database]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_DEADLINE)
    return float(done.stdout or 0)
