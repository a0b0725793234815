"""Pages are run with the wheels that make dist has built, in a network of their own that holds a Mosquitto."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.terminal import Terminal
from support.walkthrough import Walk

ROOT = Path(__file__).parents[2]
_MOSQUITTO = "ip link set lo up && exec mosquitto -p 1883"


@dataclass(frozen=True, slots=True)
class Reader:
    """Someone with an empty folder, who follows a page."""

    folder: Path
    walk: Walk


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """In a new folder. What needs the network sees this machine's; the rest sees a broker at 127.0.0.1:1883 and nothing else."""
    if os.geteuid() != 0:
        pytest.fail("pages are run in a network namespace: run this as root")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FMQ_", "PYTHON", "VIRTUAL_ENV"))}
    path = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if not Path(one).is_relative_to(ROOT))
    environ = {**kept, "PATH": path, "PIP_FIND_LINKS": f"{ROOT / 'dist'} {kept.get('PIP_FIND_LINKS', '')}".strip()}
    broker = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", _MOSQUITTO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def open_terminal(needs_network: bool) -> Terminal:  # noqa: FBT001 - as Walk calls it
        prefix = [] if needs_network else ["nsenter", f"--net=/proc/{broker.pid}/ns/net"]
        return Terminal(tmp_path, environ, prefix=prefix)

    yield Reader(tmp_path, Walk(tmp_path, open_terminal))
    broker.terminate()
    broker.wait(10)
