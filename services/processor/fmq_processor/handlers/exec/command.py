"""Runs a command to its end, with bounded output, and leaves nothing of it behind when it is stopped."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

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
    """Run a program without a shell, in a session and process group of its own. Raises OSError if it can't be started.

    Standard input is a file with ``data``; standard output goes nowhere; of standard error the end is kept. When
    the task is cancelled, the whole group is asked to end (SIGTERM), and killed half a second later.
    """
    errors = _Tail()
    try:
        # A file and not a pipe: a program that does not read its input, or leaves a child behind that holds it, can't
        # make anybody wait.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(data)
            stdin.seek(0)
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=stdin,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors.write_end,
                env=environment,
                start_new_session=True,
            )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        return Ending(code, errors.text())
    finally:
        errors.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal_group(process.pid, signal.SIGTERM)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_TO_END):
                await process.wait()
    finally:
        # Also when the program itself has ended: its children may not have. Their group keeps the number from reuse.
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


class _Tail:
    """The end of what comes out of a pipe, however much that is and whoever keeps it open."""

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
        """What a program that has ended wrote last."""
        for _ in range(_LAST_READS):  # a child that it left behind may write for ever
            if not self._take():
                break
        return self._kept.decode(errors="replace").strip()

    def close(self) -> None:
        self._loop.remove_reader(self._read_end)
        for end in (self._read_end, self.write_end):
            os.close(end)
