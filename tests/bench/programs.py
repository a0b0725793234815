"""The programs that are measured, or measured with: Mosquitto's, fmq's own, and paho in a process of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import bare_drain, paho_drain
from bench.measure import DEADLINE, TESTS, TOPIC
from support.broker import MOSQUITTO, Broker, version
from support.processes import FmqProcess, Processes

_MOSQUITTO = os.environ.get("FMQ_BENCH_MOSQUITTO") or MOSQUITTO
_BESIDE = Path(_MOSQUITTO).with_name("mosquitto_sub")
_MOSQUITTO_SUB = str(_BESIDE) if _BESIDE.exists() else shutil.which("mosquitto_sub") or "mosquitto_sub"


def broker_version() -> str:
    """Of the Mosquitto that serves the benchmarks."""
    return version(_MOSQUITTO)


def broker(folder: Path, *, inflight: int = 10_000) -> Broker:
    """One that keeps its sessions in memory."""
    limits = ["persistence false", f"max_inflight_messages {inflight}"]
    return Broker(folder / "broker", limits, program=_MOSQUITTO)


def listen(
    processes: Processes, at: Broker, *, version: str = "5", topic: str = TOPIC, number: int = 0, **settings: object
) -> FmqProcess:
    """``fmq listen`` with a session of its own, by version and number, when it has subscribed."""
    listener = start_listening(processes, at, version=version, topic=topic, number=number, **settings)
    listener.wait_to_say("subscribed")
    return listener


def start_listening(
    processes: Processes, at: Broker, *, version: str = "5", topic: str = TOPIC, number: int = 0, **settings: object
) -> FmqProcess:
    """The same, without waiting."""
    return processes.start(
        "listen",
        topic,
        FMQ_BROKER_URL=at.url,
        FMQ_MQTT_VERSION=version,
        FMQ_CLIENT_ID=f"fmq-{version}-{number}",
        **settings,
    )


def process(processes: Processes, handler: str, **settings: object) -> FmqProcess:
    """``fmq process`` with a handler of bench.handlers."""
    environ = {"FMQ_BATCH": 100, "FMQ_TOPICS": TOPIC, "FMQ_HANDLER": f"bench.handlers:{handler}", "PYTHONPATH": TESTS}
    return processes.start("process", **{**environ, **settings})


def mosquitto_sub(
    at: Broker, client_id: str, version: str, *, inflight: int = 10_000, count: int = 0, topic: str = TOPIC
) -> float:
    """Seconds for ``count`` messages of the session, written to /dev/null; with none it only makes the session."""
    limit = ("-D", "connect", "receive-maximum", str(inflight))
    versioned = ("-V", "5", "-x", "3600", *limit) if version == "5" else ("-V", "311")
    until: Sequence[str] = ("-C", str(count)) if count else ("-E",)
    command = (_MOSQUITTO_SUB, "-p", str(at.port), "-i", client_id, "-c", "-q", "1", "-t", topic, *versioned, *until)
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=DEADLINE)
    return time.perf_counter() - began


def paho(at: Broker, client_id: str, version: str, *, count: int = 0, database: Path | None = None) -> float:
    """Seconds for ``count`` messages of the session, dropped or committed; with none it only makes the session."""
    where = [str(database)] if database else []
    command = [sys.executable, paho_drain.__file__, str(at.port), client_id, version, str(count), *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    return float(done.stdout or 0)


def bare(
    at: Broker, client_id: str, *, inflight: int, count: int = 0, topic: str = TOPIC, file: Path | None = None
) -> float:
    """Seconds for ``count`` messages of the session, stepped over, and synced to ``file``; with none it only makes the session."""
    where = [str(file)] if file else []
    command = [sys.executable, bare_drain.__file__, str(at.port), client_id, topic, str(inflight), str(count), *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    return float(done.stdout or 0)


def peak_mib(pid: int) -> float:
    """The most memory that a process has had resident (VmHWM), in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
