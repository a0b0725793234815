"""How much memory a process has taken."""

import re
from contextlib import suppress
from pathlib import Path

from support.processes import FmqProcess
from support.wait import wait_for

MIB = 1024 * 1024


def peak_bytes(pid: int) -> int:
    """The most that the process has held at once so far (VmHWM), in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def peak_until_end(process: FmqProcess, deadline: float) -> int:
    """The same of a process that ends by itself: looked at until it has, as its memory is gone then."""
    peaks = [0]

    def has_ended() -> bool:
        with suppress(OSError, AssertionError):  # it has just ended
            peaks[0] = peak_bytes(process.pid)
        return not process.running

    wait_for(has_ended, deadline, what="the end of the process")
    return peaks[0]
