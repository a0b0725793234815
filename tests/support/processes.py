"""Real fmq processes: started, watched through their log, terminated and killed."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

from support.wait import wait_for

FMQ = Path(sys.executable).with_name("fmq")


class FmqProcess:
    """One process of the command ``fmq``. Its log goes to a file, which is what tests read."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        *,
        folder: Path,
        log: Path,
        environ: dict[str, str],
        program: Sequence[str] = (str(FMQ),),
    ) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*program, *arguments],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def text(self) -> str:
        """Everything that it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its complete JSON log lines."""
        lines = self.text.split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, part: str) -> list[dict[str, Any]]:
        """The log lines whose message has ``part`` in it."""
        return [line for line in self.log if part in line["message"]]

    def wait_to_say(self, part: str, deadline: float = 30.0, *, times: int = 1) -> list[dict[str, Any]]:
        """Wait until ``times`` log lines have ``part`` in their message; returns them."""

        def found() -> list[dict[str, Any]]:
            lines = self.said(part)
            if len(lines) < times and not self.running:
                raise AssertionError(f"it ended with {self._process.returncode} and never said {part!r}:\n{self.text}")
            return lines if len(lines) >= times else []

        try:
            return wait_for(found, deadline, what=f"the log line {part!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text[-4000:]}") from None

    def get(self, path: str) -> str:
        """What it serves over HTTP, at the port that its log names; the body of an error is an answer too."""
        ports = [line.get("http_port") or line.get("port") for line in self.log]
        port = next(port for port in reversed(ports) if port)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def terminate(self, deadline: float = 30.0) -> int:
        """Ask it to end, as an operator does, and return its exit code."""
        self._process.terminate()
        return self.wait(deadline)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def stop_for_a_while(self) -> None:
        """Freeze it (SIGSTOP) until ``go_on``."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        self._process.send_signal(number)

    def wait(self, deadline: float = 30.0) -> int:
        """Wait until it has ended and return its exit code."""
        try:
            return self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {deadline:g} s:\n{self.text[-4000:]}") from None


class Processes:
    """Starts fmq processes in one folder, from any thread; on leaving, whatever still runs is killed."""

    def __init__(self, folder: Path, *, program: Sequence[str] = (str(FMQ),)) -> None:
        self.folder = folder
        self._program = program
        self._numbers = count()
        self._all: list[FmqProcess] = []

    def start(self, *arguments: str, **settings: object) -> FmqProcess:
        """Start ``fmq arguments…``; ``settings`` such as ``FMQ_BROKER_URL`` are its only fmq variables."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
        environ |= {"FMQ_HTTP_PORT": "0", "FMQ_LOG_FORMAT": "json"}
        environ |= {name: str(value) for name, value in settings.items()}
        log = self.folder / f"{next(self._numbers)}-{arguments[0]}.log"
        process = FmqProcess(arguments, folder=self.folder, log=log, environ=environ, program=self._program)
        self._all.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._all:
            if process.running:
                process.kill()
