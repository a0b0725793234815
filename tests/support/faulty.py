"""A disk that fails on an order from outside: full, failing, read-only or slow, for as long as a file says so."""

import time
from pathlib import Path

import apsw

_SLOW_SECONDS = 0.01
_LOOK_SECONDS = 0.02


class FaultyDisk:
    """``orders`` is a file with words: full, failing, unsyncable, readonly, slow, unreadable. Anything else is a good disk.

    A full disk lets files be written over and not grow, as a real one does.
    """

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._order = ""
        self._looked_at = 0.0
        self._sizes: dict[Path, int] = {}

    def opened(self, path: Path) -> None:
        self._sizes[path] = path.stat().st_size if path.exists() else 0

    def read(self, path: Path) -> None:
        del path
        if "unreadable" in self._now():
            raise apsw.IOError("the disk can't be read, as ordered")

    def write(self, path: Path, data: bytes, offset: int) -> None:
        end = offset + len(data)
        match self._now():
            case "full" if end > self._sizes[path]:
                raise apsw.FullError("no space left, as ordered")
            case "failing":
                raise apsw.IOError("the disk fails, as ordered")
            case "readonly":
                raise apsw.ReadOnlyError("the disk is read-only, as ordered")
            case "slow":
                time.sleep(_SLOW_SECONDS)
        self._sizes[path] = max(self._sizes[path], end)

    def sync(self, path: Path) -> None:
        del path
        match self._now():
            case "failing" | "unsyncable":
                raise apsw.IOError("the disk does not sync, as ordered")
            case "slow":
                time.sleep(_SLOW_SECONDS)

    def truncate(self, path: Path, size: int) -> None:
        if self._now() in ("failing", "readonly"):
            raise apsw.IOError("the disk fails, as ordered")
        self._sizes[path] = size

    def delete(self, path: Path) -> None:
        if self._now() in ("failing", "readonly"):
            raise apsw.IOError("the disk fails, as ordered")
        self._sizes.pop(path, None)

    def _now(self) -> str:
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._order = self._orders.read_text(encoding="ascii").strip() if self._orders.exists() else ""
        return self._order
