"""Appends whole lines to a file that other processes append to, rename and read meanwhile."""

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fmq.clock import Clock
from fmq.message_json import JSON_BEGINS
from fmq_processor.handlers.file.metrics import FileMetrics

_log = logging.getLogger(__name__)
_MODE = 0o640
_BLOCK = 64 * 1024
_LOCK_SECONDS = 10.0
_LOCK_TICK = 0.005
_OUR_BEGINNING = JSON_BEGINS.encode("ascii")


class Appender:
    """Opens the file for each append, so that it leaves a file alone that was renamed or deleted meanwhile.

    Writers take turns by flock(2) on the file, so that no two write at once. The time of the last append, by the injected clock,
    is the file's mtime: it says in which period the file was written.
    """

    def __init__(self, *, clock: Clock, metrics: FileMetrics, rotate_bytes: int = 0, rotate_seconds: int = 0) -> None:
        self._clock = clock
        self._metrics = metrics
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds

    def append(self, path: Path, lines: bytes) -> None:
        """Append ``lines``, each with its end, and sync them.

        Raises OSError. Then none of them is in the file, unless the process or the file system died meanwhile.
        """
        while True:
            with _locked(path) as file:
                known = os.fstat(file)
                size, prefix = self._mend(file, path, known)
                if lines and self._rotation_is_due(size, size + len(lines), known.st_mtime):
                    self._rotate(path)
                    continue
                if lines:
                    self._write(file, prefix + lines, size, known)
                if not known.st_size:  # perhaps it has just been made
                    _sync_folder(path.parent)
                return

    def _mend(self, file: int, path: Path, known: os.stat_result) -> tuple[int, bytes]:
        """Repair an unfinished last line. Returns the file's size, and what has to come before the next line.

        An unfinished line of fmq is cut off: its writer died before its message was done, so the message comes again. Any other
        text stays and only gets a line end.
        """
        size = known.st_size
        if not size or os.pread(file, 1, size - 1) == b"\n":
            return size, b""
        start = _last_line(file, size)
        beginning = os.pread(file, min(len(_OUR_BEGINNING), size - start), start)
        # A power cut can leave zeros where data was to follow.
        if not _OUR_BEGINNING.startswith(beginning) and beginning.strip(b"\0"):
            return size, b"\n"
        _cut(file, start, known)
        self._metrics.unfinished_lines.inc()
        _log.warning("Cut an unfinished last line off %s: %d bytes", path, size - start)
        return start, b""

    def _rotation_is_due(self, size: int, new_size: int, written_at: float) -> bool:
        if not size:
            return False
        if self._rotate_bytes and new_size > self._rotate_bytes:
            return True
        period = self._rotate_seconds
        return bool(period) and written_at // period < self._clock.wall() // period

    def _rotate(self, path: Path) -> None:
        """Rename the file; its lock is held, so no other writer of ours does so too."""
        now = datetime.fromtimestamp(self._clock.wall(), UTC)
        stem = f"{path.stem}-{now:%Y%m%dT%H%M%SZ}"
        rotated, count = path.with_name(f"{stem}{path.suffix}"), 0
        while rotated.exists():
            count += 1
            rotated = path.with_name(f"{stem}-{count}{path.suffix}")
        path.rename(rotated)
        self._metrics.rotations.inc()
        _log.info("Renamed %s to %s and started a new file", path, rotated.name)

    def _write(self, file: int, data: bytes, size: int, known: os.stat_result) -> None:
        rest = memoryview(data)
        try:
            while rest:  # a nearly full disk takes a part
                rest = rest[os.write(file, rest) :]
            now = self._clock.wall()
            os.utime(file, (now, now))
            os.fsync(file)
        except BaseException:
            _cut(file, size, known)
            raise


def make_folder(folder: Path, *, below: Path) -> None:
    """Make ``folder``, and those above it up to ``below``, which has to be there. Raises OSError."""
    if folder == below or folder.is_dir():
        return
    make_folder(folder.parent, below=below)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _cut(file: int, size: int, known: os.stat_result) -> None:
    """Make the file ``size`` bytes long, without a change to the time of its last append."""
    os.ftruncate(file, size)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))


def _last_line(file: int, size: int) -> int:
    """Where the last line begins."""
    end = size
    while end:
        start = max(0, end - _BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file that is at ``path`` once its lock is held, made if there is none. Raises OSError."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            _lock(file, path, deadline)
            if _is_at(file, path):
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"another process has held its lock for {_LOCK_SECONDS:g} s", str(path)
                ) from None
            time.sleep(_LOCK_TICK)
        else:
            return


def _is_at(file: int, path: Path) -> bool:
    """Whether nobody has renamed or deleted the file since it was opened."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
