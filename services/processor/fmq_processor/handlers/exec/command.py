"""Runs a command with bounded output, and leaves no process behind when it is stopped."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

_KEPT_BYTES = 2_000
_PIPE_BYTES = 64 * 1024
_LAST_READS = 16
_SECONDS_TO_END = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: ``code`` is its exit code, or minus the signal that killed it."""

    code: int
    last_words: str


async def run(words: Sequence[str], data: bytes, environment: Mapping[bytes, bytes]) -> Ending:
    """Run a program without a shell, in its own session and process group. Raises OSError if it can't be started.

    Standard input is a file with ``data``. Standard output is discarded; the end of standard error is kept. When the task is
    cancelled, the whole group gets SIGTERM, and half a second later SIGKILL.
    """
    errors = _Tail()
    try:
        # A file and not a pipe: a program that does not read its input, or leaves a child behind that holds it, can't
        # make anybody wait.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(data)
            stdin.seek(0)
            process = _Process(words, stdin, errors.write_end, environment)
        try:
            await process.ended.wait()
        except asyncio.CancelledError:
            await process.end()
            raise
        finally:
            code = process.reap()
        return Ending(code, errors.text())
    finally:
        errors.close()


class _Process:
    """A program, from its start until its number may be given to another one.

    Not asyncio's: there a cancellation can come between the start and the moment when its number is known, and it
    does not tell the end apart from the reaping. Until that, the number of the group is safe to send signals to.
    """

    def __init__(self, words: Sequence[str], stdin: IO[bytes], stderr: int, environment: Mapping[bytes, bytes]) -> None:
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._popen = subprocess.Popen(  # noqa: S603 - what the operator named, and no shell
            words, stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr, env=environment, start_new_session=True
        )
        try:
            self._watch = os.pidfd_open(self._popen.pid)  # readable when it has ended (pidfd_open(2))
        except OSError:
            self._signal(signal.SIGKILL)
            self._popen.wait()
            raise
        self._loop.add_reader(self._watch, self._note_end)

    def _note_end(self) -> None:
        self._loop.remove_reader(self._watch)
        self.ended.set()

    async def end(self) -> None:
        """End the group: SIGTERM, then SIGKILL, even if this is cancelled."""
        self._signal(signal.SIGTERM)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SECONDS_TO_END):
                    await self.ended.wait()
        finally:
            self._signal(signal.SIGKILL)  # also when the program itself has ended: its children may not have
            await self.ended.wait()

    def reap(self) -> int:
        """The exit code, or minus the signal, of a program that has ended or was killed."""
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        return self._popen.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)


class _Tail:
    """The end of a pipe's output, however much there is and whichever process keeps it open."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_end, self._take)

    def _take(self) -> bool:
        """Read once. Returns whether there may be more."""
        try:
            read = os.read(self._read_end, _PIPE_BYTES)
        except BlockingIOError:
            return False
        if not read:
            self._loop.remove_reader(self._read_end)
        self._kept = (self._kept + read)[-_KEPT_BYTES:]
        return bool(read)

    def text(self) -> str:
        """The last output of a program that has ended."""
        for _ in range(_LAST_READS):  # a child that it left behind may write forever
            if not self._take():
                break
        return self._kept.decode(errors="replace").strip()

    def close(self) -> None:
        self._loop.remove_reader(self._read_end)
        for end in (self._read_end, self.write_end):
            os.close(end)
