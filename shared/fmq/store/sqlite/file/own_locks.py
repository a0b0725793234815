"""Keeps others in this process from dropping SQLite's locks.

POSIX locks belong to the process: when it closes any descriptor of a file, all its locks on that file are gone, also those of
fmq's own SQLite (sqlite.org/howtocorrupt.html, section 2.2). Another process then believes that nobody uses the database.
That is what happens when a handler opens the queue's file with Python's ``sqlite3``, which is a second SQLite, or copies it
with ``shutil``, also if it only reads.
"""

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

from fmq.errors import QueueError

_guarded: set[tuple[int, int]] = set()
"""Device and inode, so that no other name for a file gets round it."""


class StoreOpenedTwice(QueueError):
    """A handler opened the file of its own queue."""


def guard_locks(path: Path) -> None:
    """From now on, other code in this process that opens ``path`` gets StoreOpenedTwice, which says what to do instead.

    By an audit hook (PEP 578), which sees ``open``, ``os.open`` and ``sqlite3.connect``, and can't be taken off.
    """
    if not _guarded:
        sys.addaudithook(_look)
    real = os.path.realpath(path)
    _guarded.update(known for name in (real, f"{real}-shm") if (known := _identity(name)))


def _look(event: str, values: tuple[object, ...]) -> None:
    if event not in ("open", "sqlite3.connect") or not values:
        return
    try:
        name = os.fsdecode(values[0])  # type: ignore[arg-type]
    except TypeError:
        return  # a descriptor
    if event == "sqlite3.connect" and name.startswith("file:"):
        name = _file_of(name)
    if _identity(name) in _guarded:
        raise StoreOpenedTwice(
            f"{name} is the database of this processor's own queue. Opening it here drops SQLite's locks, and other processes "
            "damage it. Read it with fmq.store.backends.open_store, in a subprocess (sqlite3 -readonly), or as a copy: fmq backup"
        )


def _file_of(uri: str) -> str:
    """The path in a ``file:`` URI, as SQLite reads it (sqlite.org/uri.html, section 3)."""
    path = re.split("[?#]", uri.removeprefix("file:"), maxsplit=1)[0]
    if path.startswith("//"):  # what stands between these and the next slash is a host: none, or localhost
        path = "/" + path[2:].partition("/")[2]
    return unquote(path).partition("\0")[0]


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - at every open() of a handler
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
