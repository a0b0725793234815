"""Copies the write-ahead log into the database in a thread of its own, while commits go on.

A checkpoint writes and syncs everything once more. Within the commit that happens to be due for it, that takes a third of the
time of large payloads. SQLite begins the log anew only when all of it is copied before a commit begins. So under constant
load it grows up to a limit, at which a commit copies the rest itself (sqlite.org/wal.html, section 3.2).
"""

import threading
from contextlib import closing, suppress
from pathlib import Path

import apsw

LOG_PAGES = 2_000
"""The size at which a commit copies the log itself, whichever process makes it. Of 8 KiB each, what is not copied yet fits in the
room that intake leaves on a disk."""
_STEP_PAGES = 500
_JOIN_SECONDS = 5.0


class Checkpoints:
    """For the commits of one connection, whose hook for the log it takes."""

    def __init__(self, sql: apsw.Connection, path: Path) -> None:
        self._path = path
        self._wanted = threading.Event()
        self._has_ended = False
        self._asked_at = 0
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()
        sql.set_wal_hook(self._committed)

    def close(self) -> None:
        """End the thread, after the checkpoint that it is at."""
        self._has_ended = True
        self._wanted.set()
        self._thread.join(_JOIN_SECONDS)

    def _committed(self, sql: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._asked_at:  # the log has begun anew
            self._asked_at = 0
        if pages >= LOG_PAGES:
            _copy(sql)
        elif pages >= self._asked_at + _STEP_PAGES:
            self._asked_at = pages
            self._wanted.set()
        return apsw.SQLITE_OK

    def _run(self) -> None:
        with suppress(apsw.Error), closing(apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)) as sql:
            sql.pragma("schema_version")  # a read, which opens the log; without one there is nothing to copy
            while self._wanted.wait() and not self._has_ended:
                self._wanted.clear()
                _copy(sql)


def _copy(sql: apsw.Connection) -> None:
    with suppress(apsw.Error):  # as within SQLite's own commits: the log is kept, and the next one tries again
        sql.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
