"""Whether the files that are open are still those that the path names."""

import os
from pathlib import Path
from time import monotonic

from fmq.errors import StoreRefused

_EVERY_SECONDS = 0.25


class OpenFiles:
    """The device and inode of a database, its log and its shared memory, as one connection has opened them.

    While a connection is open, SQLite neither removes nor replaces any of the three. Who does so by hand (mv, rm, a volume
    that is mounted over the folder) leaves the processes with files without a name: what they commit is gone with them.
    A ``cp`` over the file keeps its inode, and can't be detected (sqlite.org/howtocorrupt.html, section 1.2).
    """

    def __init__(self, path: Path) -> None:
        """Right after the connection has read from the database, so that all three are there."""
        real = os.path.realpath(path)  # SQLite keeps the other two next to the file itself, not next to a link to it
        names = (str(path), f"{real}-wal", f"{real}-shm")
        self._known = [(name, found) for name in names if (found := _look(name))]
        self.look_at = 0.0
        """When to look again, on the real clock (nobody moves files by an injected one): time.monotonic()."""

    def require(self) -> None:
        """Raise StoreRefused if one of them is gone or another one; OSError if that can't be found out. Three system calls."""
        for name, known in self._known:
            if _look(name) != known:
                raise StoreRefused(
                    f"{name} was replaced, removed or renamed while it was in use. Nothing is stored in it any more and "
                    "nothing acknowledged. Stop every service that uses the database, put it in place, and start them again"
                )

    def require_until_next(self) -> None:
        """The same, a quarter of a second before the next time."""
        self.look_at = monotonic() + _EVERY_SECONDS
        self.require()


def _look(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - a fifth of Path.stat()'s time, at every commit
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
