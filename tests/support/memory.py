"""How much memory a process has taken."""

import re
from contextlib import suppress
from pathlib import Path

import yaml

from support.processes import FmqProcess
from support.wait import wait_for

MIB = 1024 * 1024
_COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def peak_bytes(pid: int) -> int:
    """The most that the process has held at once so far (VmHWM), in bytes."""
    return _read(pid, "VmHWM")


def resident_bytes(pid: int) -> int:
    """What the process holds now (VmRSS), in bytes."""
    return _read(pid, "VmRSS")


def _read(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def peak_until_end(process: FmqProcess, deadline: float) -> int:
    """The same of a process that ends on its own: looked at until it has, as its memory is gone then."""
    peaks = [0]

    def has_ended() -> bool:
        with suppress(OSError, AssertionError):  # it has just ended
            peaks[0] = peak_bytes(process.pid)
        return not process.running

    wait_for(has_ended, deadline, what="the end of the process")
    return peaks[0]


def shipped_limit() -> int:
    """Bytes that the listener's container may have, as docker-compose.yml says."""
    compose = yaml.safe_load((_COMPOSE).read_text())
    found = re.fullmatch(r"\$\{\w+:-(\d+)m\}", compose["services"]["listener"]["mem_limit"])
    assert found
    return int(found[1]) * 1024 * 1024
