"""How much memory a process has taken."""

import re
from pathlib import Path

MIB = 1024 * 1024


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
