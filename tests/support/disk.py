"""A disk between SQLite and the file system, as a VFS of apsw: it sees every read, write and sync, and can refuse or forget.

Installed as the default VFS of the process, so that fmq opens its files through it without knowing. Memory mapping of
the database is off with it (a VFS written in Python has none); the shared memory of the -shm file is the system's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import apsw

_NAME = "watched"


class Disk(Protocol):
    """Called before each operation; raising an apsw error refuses it."""

    def opened(self, path: Path) -> None: ...

    def read(self, path: Path) -> None: ...

    def write(self, path: Path, data: bytes, offset: int) -> None: ...

    def sync(self, path: Path) -> None: ...

    def truncate(self, path: Path, size: int) -> None: ...

    def delete(self, path: Path) -> None: ...


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: Path, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._path = path

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - apsw's name
        self._disk.read(self._path)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's name
        self._disk.write(self._path, bytes(data), offset)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        del flags  # the disk decides what is kept; the machine below need not wait for its own
        self._disk.sync(self._path)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - apsw's name
        self._disk.truncate(self._path, newsize)
        super().xTruncate(newsize)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(_NAME, "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - apsw's name
        if name is None:
            return apsw.VFSFile("unix", name, flags)
        path = Path(name if isinstance(name, str) else name.filename())
        self._disk.opened(path)
        return _File(self._disk, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - apsw's
        self._disk.delete(Path(filename))
        super().xDelete(filename, syncdir)


@contextmanager
def installed(disk: Disk) -> Iterator[None]:
    """Let SQLite reach its files through ``disk`` for as long as this lasts. All connections have to be closed within."""
    vfs = _Vfs(disk)
    try:
        yield
    finally:
        vfs.unregister()
