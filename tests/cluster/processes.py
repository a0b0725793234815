"""Processes of servers: who runs them, and how they end as in a power cut."""

import os
import pwd
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from support.wait import wait_for

USER = pwd.getpwnam("nobody").pw_uid
"""PostgreSQL refuses to be run by root."""


def family(pid: int) -> Sequence[int]:
    """The children of a process."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_all(pids: Iterable[int]) -> None:
    """SIGKILL to all of them, and wait for their end."""
    pids = list(pids)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(_lives, pids)), what="the end of its processes")


def _lives(pid: int) -> bool:
    """Not one that has ended and that nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
