"""The backend of URLs that begin with ``sqlite:``."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fmq.clock import Clock
from fmq.finding import Finding
from fmq.store.options import StoreOptions
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.file.aside import set_file_aside
from fmq.store.sqlite.file.backup import back_up_file
from fmq.store.sqlite.file.diagnosis import diagnose_file
from fmq.store.sqlite.file.location import is_ours, path_of
from fmq.store.sqlite.file.own_locks import guard_locks
from fmq.store.sqlite.store import SqliteStore


class SqliteBackend:
    """One file per store (see fmq.store.backends.Backend for what each method promises)."""

    is_local = True

    def open(self, url: str, options: StoreOptions, *, clock: Clock, create: bool) -> SqliteStore:
        return SqliteStore(Database(path_of(url), options, clock, create=create))

    def diagnose(self, url: str, options: StoreOptions, *, thorough: bool) -> Iterable[Finding]:  # noqa: ARG002 - a file has no standbys
        return diagnose_file(path_of(url), thorough=thorough)

    def back_up(self, url: str, target: str, *, on_progress: Callable[[int, int], None]) -> int:
        return back_up_file(path_of(url), Path(target), on_progress=on_progress)

    def set_aside(self, url: str) -> str:
        return set_file_aside(path_of(url))

    def is_store(self, url: str) -> bool:
        return is_ours(path_of(url))

    def same(self, url: str, other: str) -> bool:
        # Unlike Path.resolve(), realpath() goes on where links lead in a circle.
        return os.path.realpath(path_of(url)) == os.path.realpath(path_of(other))

    def protect(self, url: str) -> None:
        guard_locks(path_of(url))


BACKEND = SqliteBackend()
