"""Picks the backend of a store by the scheme of its URL."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Protocol, cast

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import SettingsError
from fmq.extras import missing_part
from fmq.finding import Finding
from fmq.store.options import StoreOptions
from fmq.store.roles import Store
from fmq.text import without_password

_BACKENDS = {
    "sqlite": "fmq.store.sqlite.backend",
    "postgresql": "fmq.store.postgres.backend",
    "postgres": "fmq.store.postgres.backend",
}
"""Modules whose BACKEND is a Backend, by scheme. Each is imported only when it is needed, since it may need its own library."""


class Backend(Protocol):
    """Opens and maintains stores of one kind. Every method may raise SettingsError for a URL that it can't parse."""

    @property
    def is_local(self) -> bool:
        """Whether a store is of no use to other hosts."""
        ...

    def open(self, url: str, options: StoreOptions, *, clock: Clock, create: bool) -> Store:
        """Open a store. Create it if it does not exist, unless ``create`` is False.

        Raises StoreRefused, StoreDamaged and StoreUnavailable.
        """
        ...

    def diagnose(self, url: str, options: StoreOptions, *, thorough: bool) -> Iterable[Finding]:
        """Examine a store, as a listener opens it, without changing it. ``thorough`` allows checks that take long."""
        ...

    def back_up(self, url: str, target: str, *, on_progress: Callable[[int, int], None]) -> int:
        """Write a consistent copy of a store to the new file ``target`` while others go on writing. Returns its size in bytes.

        ``on_progress`` receives the part that is copied and the total, in the backend's own units. The file appears only
        when it is complete, checked and on disk. Raises QueueError if ``target`` exists or can't be created.
        """
        ...

    def set_aside(self, url: str) -> str:
        """Rename a store, whatever its state, and return the new name. Deletes nothing.

        Only for an explicit request of an operator. Raises StoreRefused if the store does not exist, or if a process has it open.
        """
        ...

    def is_store(self, url: str) -> bool:
        """Whether ``url`` names an fmq store. Raises StoreUnavailable if it can't be read."""
        ...

    def same(self, url: str, other: str) -> bool:
        """Whether two URLs of this scheme name one store, however they are written."""
        ...

    def protect(self, url: str) -> None:
        """From now on, stop other code in this process from breaking the store's guarantees.

        For processes that run user code. It can't be undone.
        """
        ...


def backend_of(url: str) -> Backend:
    """The backend that ``url`` names by its scheme. Raises SettingsError if there is none."""
    module = _BACKENDS.get(url.partition(":")[0])
    if module is None:
        raise SettingsError(
            f"Invalid queue URL {without_password(url)!r}: expected one like sqlite:///mqtt_queue.db, "
            "sqlite:////data/mqtt_queue.db or postgresql://fmq@db.example.com/fmq"
        )
    try:
        return cast("Backend", import_module(module).BACKEND)
    except ModuleNotFoundError as error:
        if (missing := missing_part(error)) is None:
            raise
        raise SettingsError(f"A store with a {url.partition(':')[0]}: URL can't be used: {missing}") from error


def open_store(
    url: str, options: StoreOptions | None = None, *, clock: Clock = SYSTEM_CLOCK, create: bool = True
) -> Store:
    """Open the store that ``url`` names. Create it if it does not exist, unless ``create`` is False.

    ``sqlite:///name.db`` is relative to the working directory, ``sqlite:////var/lib/name.db`` absolute;
    ``postgresql://user@host,host/database`` names the servers of which one is the primary. Raises
    SettingsError for a URL without a backend, StoreRefused, StoreDamaged and StoreUnavailable.
    """
    return backend_of(url).open(url, options or StoreOptions(), clock=clock, create=create)


def same_store(url: str, other: str) -> bool:
    """Whether two URLs name one store, however they are written. Raises SettingsError for a URL without a backend."""
    backend = backend_of(url)
    return backend_of(other) is backend and backend.same(url, other)
