"""A process that is struck repeatedly, and started anew each time."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.plan import Plan
from chaos.points import Point
from support.processes import FmqProcess

_SIGNALS = ("KILL", "KILL", "KILL", "KILL", "TERM", "STOP")
_PATIENCE = 1.5
_START_SECONDS = 90.0
_TICK = 0.02


class Victim(threading.Thread):
    """Strikes at one of ``points`` (at its turn in the process's own course), or by a signal at a random time."""

    def __init__(
        self, start: Callable[[Plan], FmqProcess], points: Sequence[str], rng: random.Random, *, ready: str
    ) -> None:
        super().__init__(daemon=True)
        self._start = start
        self._points = points
        self._rng = rng
        self._ready = ready
        self._ending = threading.Event()
        self.strikes: Counter[str] = Counter()
        """How often by which signal."""
        self.reached: Counter[str] = Counter()
        """How often at which point."""
        self.slowest_start = 0.0
        self.faults: list[str] = []

    @property
    def kills(self) -> int:
        return self.strikes["KILL"]

    def end(self) -> FmqProcess:
        """Strike no more. Returns a process that nothing befalls."""
        self._ending.set()
        self.join(90)
        last = self._start(Plan())
        last.wait_to_say(self._ready, _START_SECONDS)
        return last

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                self._live_and_die()
            except BaseException as error:  # noqa: BLE001 - told to the scenario, whose thread this is not
                self.faults.append(f"{type(error).__name__}: {error}")
                return

    def _live_and_die(self) -> None:
        how = self._rng.choice(_SIGNALS)
        began = time.monotonic()
        if self._points and self._rng.random() < 0.7:
            point = Point(self._rng.choice(self._points), self._rng.choice((1, 2, 5, 20)), how)
            process = self._start(Plan(point=point))
            if self._await_strike(process):
                self.reached[point.name] += 1
                self.strikes[how] += 1
            else:  # its turn did not come
                how = "KILL"
                self._send(process, how)
        else:
            process = self._start(Plan())
            if how == "TERM" or self._rng.random() < 0.8:  # else perhaps while it starts
                process.wait_to_say(self._ready, _START_SECONDS)
                self.slowest_start = max(self.slowest_start, time.monotonic() - began)
            self._ending.wait(self._rng.uniform(0, 1.0))
            self._send(process, how)
        if how == "STOP":
            self._ending.wait(self._rng.uniform(0.1, 2.5))  # up to more than a lease
            process.go_on()
            self._ending.wait(self._rng.uniform(0, 0.5))
            self._send(process, how := "KILL")
        code = process.wait(60)
        if code != (0 if how == "TERM" else -signal.SIGKILL):
            self.faults.append(f"exit code {code} after SIG{how}: {process.text[-600:]}")

    def _send(self, process: FmqProcess, how: str) -> None:
        if process.running:
            process.signal(signal.Signals[f"SIG{how}"])
            self.strikes[how] += 1

    def _await_strike(self, process: FmqProcess) -> bool:
        """Whether the process was struck at its point: it has ended, ends, or stands still."""
        end = time.monotonic() + _START_SECONDS
        is_ready = False
        while time.monotonic() < end and not self._ending.is_set():
            if not process.running or _is_stopped(process.pid) or "Received signal" in (text := process.text):
                return True
            if not is_ready and self._ready in text:
                is_ready, end = True, time.monotonic() + _PATIENCE
            time.sleep(_TICK)
        return not process.running


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False
