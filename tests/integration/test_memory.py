"""Memory of real processes: bounded by all that they hold, whatever publishers fill their messages with."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming, Properties
from fmq.outcome import Dead
from fmq.store.backends import open_store
from support.memory import MIB, peak_bytes, peak_until_end
from support.processes import Processes
from support.wait import wait_for

QUEUE = "plant/#"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


def _put(folder: Path, count: int, one: Incoming) -> str:
    """The URL of a store with ``count`` messages like ``one``."""
    url = f"sqlite:///{folder / 'queue.db'}"
    with open_store(url) as queue:
        queue.declare(QUEUE)
        for _ in range(count):
            queue.put([one])
    return url


LARGE = {
    "nothing": (10, Incoming(QUEUE, "plant/a", b"[]", 1.0)),
    "properties": (
        30,
        Incoming(
            QUEUE,
            "plant/a",
            b"[]",
            1.0,
            properties=Properties(user_properties=tuple((f"k{number:05}", "v") for number in range(20_000))),
        ),
    ),
    "topics": (1_000, Incoming(QUEUE, "plant/" + "t" * 65_529, b"[]", 1.0)),
    "wide topics": (400, Incoming(QUEUE, "plant/" + "t" * 65_500 + "\U0001f600", b"[]", 1.0)),
    "payloads": (60, Incoming(QUEUE, "plant/a", b'"' + b"p" * MIB + b'"', 1.0)),
    "packed bombs": (20, Incoming(QUEUE, "plant/a", gzip.compress(b"[" + b"[]," * 200_000 + b"[]]"), 1.0)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_processor_holds_what_its_setting_says(tmp_path: Path, processes: Processes, kind: str) -> None:
    """With FMQ_BATCH_BYTES of 1 MB, no more than one larger message or value beside: of what would be hundreds."""
    count, one = LARGE[kind]
    url = _put(tmp_path, count, one)
    process = processes.start(
        "process",
        QUEUE,
        "1000",
        FMQ_QUEUE_URL=url,
        FMQ_BATCH_BYTES=1_000_000,
        FMQ_CONCURRENCY=8,
        FMQ_MMAP_BYTES=0,  # pages of the file would count too
        FMQ_HANDLER="log",
        FMQ_LOG_LEVEL="WARNING",
        FMQ_DECODE="gzip,json" if "packed" in kind else "json",
    )
    with open_store(url) as queue:
        wait_for(lambda: queue.stats(QUEUE).done == count, 60, what="all to be done")
    peak = peak_bytes(process.pid)
    assert process.running
    assert peak < 100 * MIB, f"{peak / MIB:.0f} MiB"  # an idle one takes 46


ALIVE = [
    ["export", QUEUE],
    ["export", QUEUE, "--topic", "plant/#"],
    ["peek", QUEUE, "--limit", "100", "--json"],
    ["peek", QUEUE, "--limit", "100"],
]
DEAD = [
    ["export", QUEUE, "--state", "dead"],
    ["dead", "list", QUEUE, "--json"],
    ["dead", "list", QUEUE],
    ["dead", "requeue", QUEUE, "--all"],
    ["dead", "purge", QUEUE, "--all", "--yes"],
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("commands", [ALIVE, DEAD], ids=["alive", "dead"])
def test_commands_hold_one_large_message(tmp_path: Path, processes: Processes, commands: list[list[str]]) -> None:
    """Of 15 with 8 MiB each, and of 3,000 with a topic of 65,535 bytes."""
    url = _put(tmp_path, 15, Incoming(QUEUE, "plant/a", b"p" * 8 * MIB, 1.0))
    with open_store(url) as queue:
        queue.put([Incoming(QUEUE, "plant/" + "t" * 65_529, b"[]", 1.0)] * 3_000)
        for command in commands:
            while commands is DEAD and (claims := queue.claim(QUEUE, 1_000, lease=60)):
                queue.settle([(claim, Dead("no")) for claim in claims])
            process = processes.start(*command, FMQ_QUEUE_URL=url, FMQ_MMAP_BYTES=0)
            peak = peak_until_end(process, 120)
            assert process.wait() == 0, command
            assert peak < 120 * MIB, f"{' '.join(command)}: {peak / MIB:.0f} MiB"


def test_a_migration_holds_one_parcel(tmp_path: Path, processes: Processes) -> None:
    """Of 25 messages with 8 MiB each, and of 1,000 with a topic of 65,535 bytes."""
    url = _put(tmp_path, 25, Incoming(QUEUE, "plant/a", b"p" * 8 * MIB, 1.0))
    with open_store(url) as queue:
        queue.put([Incoming(QUEUE, "plant/" + "t" * 65_529, b"[]", 1.0)] * 1_000)
    target = f"sqlite:///{tmp_path / 'target.db'}"
    process = processes.start("migrate", "--from", url, "--to", target, FMQ_MMAP_BYTES=0)
    peak = peak_until_end(process, 120)
    assert process.wait() == 0, process.text
    assert peak < 150 * MIB, f"{peak / MIB:.0f} MiB"


def test_an_import_holds_one_large_message(tmp_path: Path, processes: Processes) -> None:
    """Of 20 with 8 MiB each."""
    with (tmp_path / "lines").open("w") as file:
        for _ in range(20):
            one = {"queue": QUEUE, "topic": "plant/a", "received_at": 1.0, "qos": 1, "retain": False}
            file.write(json.dumps({**one, "payload": "p" * 8 * MIB}) + "\n")
    process = processes.start("import", "lines", FMQ_QUEUE_URL=f"sqlite:///{tmp_path / 'queue.db'}", FMQ_MMAP_BYTES=0)
    peak = peak_until_end(process, 60)
    assert process.wait() == 0, process.text
    assert peak < 150 * MIB, f"{peak / MIB:.0f} MiB"
