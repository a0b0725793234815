"""Standard input, output and error that were closed before the start, or fail later."""

import errno
import fcntl
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_T = TypeVar("_T")
_CALLED = {
    0: "Standard input can't be read",
    1: "Standard output can't be written",
    2: "Standard error can't be written",
}


class StreamFailed(OSError):
    """A standard stream can't be used. Has the errno of the cause."""

    def __init__(self, number: int, cause: OSError) -> None:
        why = "it is closed" if cause.errno == errno.EBADF else cause.strerror
        super().__init__(cause.errno, f"{_CALLED[number]}: {why}")

    @property
    def reader_has_ended(self) -> bool:
        """Whether a pipe's reader has seen enough, as ``head`` does."""
        return self.errno == errno.EPIPE


class _Stream(FileIO):
    """The file of a standard stream. Its errors say which one failed."""

    def __init__(self, number: int, fd: int) -> None:
        super().__init__(fd, "w" if number else "r", closefd=False)
        self._number = number

    def write(self, data: "ReadableBuffer", /) -> int:
        return self._tried(super().write, data)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        return self._tried(super().readinto, buffer)

    def readall(self) -> bytes:
        return self._tried(super().readall)

    def _tried(self, call: Callable[..., _T], *arguments: object) -> _T:
        try:
            return call(*arguments)
        except OSError as error:
            raise StreamFailed(self._number, error) from error


def prepare() -> None:
    """Have errors of standard streams raise StreamFailed, also if a stream was closed before the start.

    For closed ones Python has None: click would print nothing and report success. The descriptors are taken, so that no
    database or socket gets one of their numbers.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: object = getattr(sys, name)
        if stream is None:
            # A file that can't be used; for standard error one that takes everything, since its loss can't be reported.
            fd = os.open(os.devnull, (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)[number])
            setattr(sys, name, TextIOWrapper(_buffered(_Stream(number, fd)), encoding="utf-8"))
        elif isinstance(stream, TextIOWrapper) and isinstance(getattr(stream.buffer, "raw", stream.buffer), FileIO):
            with suppress(OSError):
                stream.flush()
            raw = _Stream(number, stream.fileno())
            again = TextIOWrapper(
                raw if isinstance(stream.buffer, FileIO) else _buffered(raw),  # PYTHONUNBUFFERED
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, again)


def _buffered(raw: FileIO) -> BufferedReader | BufferedWriter:
    return BufferedWriter(raw) if raw.writable() else BufferedReader(raw)


def ignore_closed_output() -> None:
    """For a service, which prints nothing itself: if standard output was closed, drop what a handler prints."""
    with suppress(OSError, ValueError, AttributeError):
        if fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            _discard(sys.stdout.fileno())


def let_go() -> None:
    """Discard what can't be written, so that it does not fail once more at the end of the process."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                _discard(stream.fileno())
                stream.flush()


def _discard(fd: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, fd)
    os.close(nowhere)
