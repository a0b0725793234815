"""How much memory a process has taken."""

import re
from pathlib import Path

MIB = 1024 * 1024


def peak_bytes(pid: int) -> int:
    """The most that the process has held at once so far (VmHWM), in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
