"""Real processes: started with a log file each, watched, and ended on every way out."""

import ctypes
import random
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from fmq.errors import FmqError

_GRACE_SECONDS = 10.0
_STEP_SECONDS = 0.05
_SHOWN_LINES = 15
_PORTS = range(30_000, 32_000)
_PR_SET_PDEATHSIG = 1


class ProcessDied(FmqError):
    """A process of the demo ended unexpectedly."""


class Stopped(Exception):
    """The user stopped the demo before it had begun."""


class Process:
    """One child process; what it writes goes to ``log``."""

    def __init__(self, name: str, command: Sequence[str | Path], *, log: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is for the demo alone, which ends its children in order
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - the demo has no other thread yet
            )

    def require_running(self) -> None:
        """Raises ProcessDied, with the last lines of its log, if it has ended."""
        code = self._popen.poll()
        if code is not None:
            raise ProcessDied(
                f"{self.name} ended with {_meaning(code)}; the end of its log ({self._log}):\n{self.tail()}"
            )

    def tail(self) -> str:
        """The last lines of its log."""
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(f"  {line}" for line in deque(lines, _SHOWN_LINES)).rstrip("\n")

    def end(self) -> int:
        """Ask it to end, and make it if it does not. Returns its exit code."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self._popen.wait()


class Crew:
    """All processes of the demo. On leaving, they are ended: the last one started first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._all: list[Process] = []

    def start(self, name: str, command: Sequence[str | Path], environ: Mapping[str, str]) -> None:
        """Start one more."""
        self._all.append(Process(name, command, log=self._logs / f"{name}.log", environ=environ))

    def require_running(self) -> None:
        """Raises ProcessDied if one of them has ended."""
        for process in self._all:
            process.require_running()

    def wait_until(self, condition: Callable[[], bool], *, what: str, seconds: float, stop: Callable[[], bool]) -> None:
        """Wait for a condition that the processes bring about. Raises ProcessDied, and Stopped if ``stop`` says so."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.require_running()
            if stop():
                raise Stopped
            if time.monotonic() > deadline:
                logs = "\n".join(f"the end of {one.name}'s log:\n{one.tail()}" for one in self._all)
                raise FmqError(f"waited {seconds:g} s for {what}\n{logs}")
            time.sleep(_STEP_SECONDS)

    def end(self) -> dict[str, int]:
        """End all of them; returns their exit codes by name."""
        codes = {}
        while self._all:
            process = self._all.pop()
            codes[process.name] = process.end()
        return codes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on.

    Below the ports that systems give to outgoing connections: one of those could take it before its owner does.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise FmqError("no TCP port is free")


def accepts_connections(port: int) -> bool:
    """Whether something listens on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _die_with_parent() -> Callable[[], None] | None:
    """What makes a child of Linux end with the demo even if that is killed with SIGKILL (prctl(2)); elsewhere nothing."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _meaning(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
