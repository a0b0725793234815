"""Time, injected everywhere so that tests move it by hand.

There are two clocks. ``wall`` is the date that people read (``received_at``); an operator or NTP may set it. ``steady`` never
jumps within one boot of the machine and is shared by all its processes and containers, so it measures leases and delays.
"""

import time
from functools import cache
from pathlib import Path
from typing import Protocol

_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""CLOCK_BOOTTIME, unlike CLOCK_MONOTONIC, goes on while the machine sleeps."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """The two clocks."""

    def wall(self) -> float:
        """Unix time in seconds."""
        ...

    def steady(self) -> float:
        """Seconds since an arbitrary point that all processes of this boot share. Never goes back."""
        ...

    def boot_id(self) -> str:
        """Names the period within which ``steady`` values can be compared."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.clock_gettime(_STEADY)

    def boot_id(self) -> str:
        return _read_boot_id()


@cache
def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        # Not Linux: the minute of the boot distinguishes boots well enough.
        return f"booted-{round((time.time() - time.monotonic()) / 60)}"


SYSTEM_CLOCK = SystemClock()
