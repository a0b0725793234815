"""A shell in a terminal, as a reader has it: commands are typed, output is read, Ctrl-C is pressed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support.wait import wait_for

_COLUMNS = 120
_PROMPT = re.compile(r"(?:\(\S+\) )?<<(\d+)>>$")  # an active environment puts its name before it
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """An interactive bash in ``folder``. ``prefix`` is what starts it, such as a command that enters a namespace."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, prefix: Sequence[str] = ()) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _COLUMNS, 0, 0))
        # What a shell starts in the background ignores Ctrl-C, and so would everything that these tests start.
        self._process = subprocess.Popen(
            [
                "env",
                "--default-signal=INT,QUIT",
                "setsid",
                "--ctty",
                *prefix,
                "bash",
                "--norc",
                "--noprofile",
                "--noediting",
                "-i",
            ],
            cwd=folder,
            env={**environ, "PS1": "<<$?>>", "PS2": "", "TERM": "xterm", "HISTFILE": ""},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._seen = ""
        wait_for(lambda: self.output() == "<<0>>", what="the shell")
        self.type("stty -echo")
        wait_for(lambda: self.output().endswith("stty -echo\n<<0>>"), what="the shell")
        self.take()

    def type(self, command: str) -> None:
        """Type a command, which may have several lines, and press Enter."""
        os.write(self._master, f"{command}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._master, b"\x03")

    def wait_for_prompt(self, deadline: float) -> int:
        """Wait until the command has ended; returns its exit code."""
        wait_for(lambda: _PROMPT.search(self.output()), deadline, what="the end of the command")
        return int(_PROMPT.findall(self.output())[0])

    def output(self) -> str:
        """What has come since the last ``take``: without colours and indentation, with one space for several."""
        while select.select([self._master], [], [], 0.02)[0]:
            try:
                part = os.read(self._master, 65536)
            except OSError:  # the shell has ended
                break
            if not part:
                break
            self._seen += part.decode(errors="replace")
        lines = _ESCAPES.sub("", self._seen).replace("\r", "").split("\n")
        return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in lines)

    def take(self, characters: int | None = None) -> str:
        """Return the output so far without the prompt, and forget it; or only its first ``characters``."""
        text = self.output()
        end = len(text) if characters is None else characters
        self._seen = text[end:]
        taken = _PROMPT.sub("", text[:end])
        return taken if not taken or taken.endswith("\n") else f"{taken}\n"

    def close(self) -> None:
        """End the shell and everything that was started in it."""
        mine = [pid for pid in _processes() if _session(pid) == self._process.pid]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in mine:
                if pid != self._process.pid or number == signal.SIGKILL:
                    _send(pid, number)
            end = time.monotonic() + 20
            while any(_session(pid) for pid in mine if pid != self._process.pid) and time.monotonic() < end:
                self.output()
        self._process.wait(10)
        os.close(self._master)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _session(pid: int) -> int:
    """The session of a process, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[3])


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
