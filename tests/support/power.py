"""Power cuts: a disk that holds back what was not synced, and forgets it at a given moment, whole or torn.

What it promises is what SQLite asks of a disk: what was synced stays, and a write touches nothing outside its own range
(SQLITE_IOCAP_POWERSAFE_OVERWRITE, the default of SQLite's own VFS). What it does not promise: any order between writes
that were not synced, whole writes, whole sectors.
"""

import os
import random
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw

_SECTOR = 512
_DELETED = -1
_WITH_FOLDER = ("-wal", "-journal")
"""With the first sync of such a file SQLite syncs the folder too (os_unix.c, UNIXFILE_DIRSYNC)."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A write of ``data`` at ``at``, or a change of the size to ``at`` (``_DELETED``: the file is gone)."""

    at: int
    data: bytes | None = None


@dataclass(slots=True)
class _File:
    kept: bytearray = field(default_factory=bytearray)
    loose: list[_Change] = field(default_factory=list)
    is_new: bool = False

    def settle(self, count: int) -> None:
        """Keep the first ``count`` loose changes for good."""
        for change in self.loose[:count]:
            _apply(self.kept, change)
        del self.loose[:count]


class PowerCutDisk:
    """Loses power at its ``cut_after``-th operation from now; from then on it refuses every change.

    ``image`` is what is on it afterwards. With ``kill_into``, the whole process ends at that moment (SIGKILL), as a
    machine does, and leaves the image in that folder.
    """

    def __init__(self, rng: random.Random, *, cut_after: int, kill_into: Path | None = None) -> None:
        self._rng = rng
        self._left = cut_after
        self._kill_into = kill_into
        self._files: dict[Path, _File] = {}
        self._lock = threading.RLock()
        self.is_off = False
        self.lost = 0
        """How many changes that were not synced did not reach the image as a whole."""

    def opened(self, path: Path) -> None:
        with self._lock:
            there = path.exists()
            if path not in self._files:
                self._files[path] = _File(bytearray(path.read_bytes() if there else b""))
            if not there:
                self._files[path].is_new = True

    def read(self, path: Path) -> None:
        """Never fails."""

    def write(self, path: Path, data: bytes, offset: int) -> None:
        self._change(path, _Change(offset, data))

    def truncate(self, path: Path, size: int) -> None:
        self._change(path, _Change(size))

    def delete(self, path: Path) -> None:
        if path in self._files:
            self._change(path, _Change(_DELETED))

    def sync(self, path: Path) -> None:
        with self._lock:
            self._count()
            file = self._files[path]
            file.settle(len(file.loose))
            if file.is_new and path.name.endswith(_WITH_FOLDER):
                file.is_new = False
                self._sync_folder()

    def _sync_folder(self) -> None:
        for file in self._files.values():
            gone = [number for number, change in enumerate(file.loose, 1) if change.at == _DELETED]
            file.settle(max(gone, default=0))

    def _change(self, path: Path, change: _Change) -> None:
        with self._lock:
            if not self.is_off:
                self._files[path].loose.append(change)  # the last one may be torn too
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            if not self.is_off and self._kill_into is not None:
                for path, content in self.image().items():
                    (self._kill_into / path.name).write_bytes(content)
                os.kill(os.getpid(), signal.SIGKILL)
            self.is_off = True
            raise apsw.IOError("the power is off")

    def image(self) -> dict[Path, bytes]:
        """What each file holds when the power is back: everything synced, and by chance some of the rest."""
        share = self._rng.choice((0.0, 1.0, self._rng.random()))
        return {path: bytes(self._survivor(file, share)) for path, file in self._files.items()}

    def _survivor(self, file: _File, share: float) -> bytearray:
        content = bytearray(file.kept)
        for change in file.loose:
            if change.at == _DELETED and self._rng.random() >= share:
                self.lost += 1
                break  # the old file is still there; what came after went to another one
            pieces = list(_sectors(change))
            arrived = [one for one in pieces if self._rng.random() < share]
            self.lost += len(arrived) < len(pieces)
            for piece in arrived:
                _apply(content, self._torn(piece) if 0 < share < 1 else piece)
        return content

    def _torn(self, piece: _Change) -> _Change:
        if piece.data is None or self._rng.random() < 0.9:
            return piece
        return _Change(piece.at, piece.data[: self._rng.randrange(len(piece.data))])


def _sectors(change: _Change) -> Iterator[_Change]:
    if change.data is None:
        yield change
        return
    at, end = change.at, change.at + len(change.data)
    while at < end:
        stop = min(end, at - at % _SECTOR + _SECTOR)
        yield _Change(at, change.data[at - change.at : stop - change.at])
        at = stop


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is None:
        size = max(change.at, 0)
        del content[size:]
        content.extend(bytes(size - len(content)))
    else:
        content.extend(bytes(max(0, change.at - len(content))))
        content[change.at : change.at + len(change.data)] = change.data


def restore(image: dict[Path, bytes]) -> None:
    """Put the files back as the power cut left them. The -shm file was memory: it is gone."""
    for path, content in image.items():
        path.write_bytes(content)
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
