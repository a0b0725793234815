"""The backends that the contract and the model ask: each with its clock, and with statements of the test's own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.roles import Store
from support.clock import FakeClock
from support.counting import counted, execute, query
from support.postgres import shared_server

Figures = tuple[Any, ...]
"""Pending, claimed, done and dead."""


class BackendUnderTest(Protocol):
    """A new store of one kind, and what a test may do to it past fmq."""

    @property
    def clock(self) -> FakeClock:
        """What the store takes its time from."""
        ...

    one_host: bool
    """Whether all users of the store are on the machine that holds it."""
    url: str

    def open(self, options: StoreOptions | None = None) -> Store:
        """One more connection to the same store."""
        ...

    def full_count(self) -> Mapping[str, Figures]:
        """The messages of each queue by state, counted one by one."""
        ...

    def ids(self, queue: str) -> set[int]:
        """The ids of all messages of a queue."""
        ...

    def attempts(self, queue: str) -> Mapping[int, int]:
        """How many failed attempts are kept of each message that has some."""
        ...


class SqliteUnderTest:
    """A database in ``folder``."""

    one_host = True

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.path = folder / "queue.db"
        self.url = f"sqlite:///{self.path}"

    def open(self, options: StoreOptions | None = None) -> Store:
        return open_store(self.url, options or StoreOptions(busy_seconds=5), clock=self.clock)

    def full_count(self) -> Mapping[str, Figures]:
        return counted(self.path)

    def ids(self, queue: str) -> set[int]:
        return {number for (number,) in query(self.path, f'SELECT id FROM "{self._table(queue)}"')}

    def attempts(self, queue: str) -> Mapping[int, int]:
        return dict(query(self.path, f'SELECT id, count(*) FROM "fmq_{self._table(queue)}_attempts" GROUP BY id'))

    def change(self, queue: str, statement: str, *values: object) -> None:
        """Run an operator's own SQL on a queue; ``{}`` in it is the queue's table."""
        execute(self.path, statement.format(f'"{self._table(queue)}"'), *values)

    def _table(self, queue: str) -> str:
        return str(query(self.path, "SELECT table_name FROM fmq_queue WHERE name = ?", queue)[0][0])


class ServersClock(FakeClock):
    """The clock of a server of its own: when the machine of a client boots anew, it goes on."""

    def reboot(self) -> None:
        self._boot += 1


class PostgresUnderTest:
    """A schema in the database of this process's server."""

    one_host = False

    def __init__(self, _: Path) -> None:
        self.clock = ServersClock()
        self._schema = f"test_{uuid4().hex}"
        self._server = shared_server()
        self._ask(f"CREATE SCHEMA {self._schema}")
        self.url = f"{self._server.url}?options=-csearch_path%3D{self._schema}"

    def open(self, options: StoreOptions | None = None) -> Store:
        return open_store(self.url, options or StoreOptions(busy_seconds=5), clock=self.clock)

    def full_count(self) -> Mapping[str, Figures]:
        return {
            name: self._ask(_STATES.format(f"{self._schema}.", number))[0]
            for name, number in self._ask(f"SELECT name, number FROM {self._schema}.fmq_queue")
        }

    def ids(self, queue: str) -> set[int]:
        return {number for (number,) in self._ask(f"SELECT id FROM {self._table('msg', queue)}")}

    def attempts(self, queue: str) -> Mapping[int, int]:
        return dict(self._ask(f"SELECT id, count(*) FROM {self._table('attempt', queue)} GROUP BY id"))

    def _table(self, kind: str, queue: str) -> str:
        rows = self._ask(f"SELECT number FROM {self._schema}.fmq_queue WHERE name = %s", queue)
        return f"{self._schema}.fmq_{kind}_{rows[0][0]}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run an outsider's statement in the store's schema."""
        self._ask(f"SET search_path = {self._schema}")
        return self._ask(statement)

    def waiting(self) -> int:
        """How many sessions wait for a lock."""
        return int(self._ask("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")[0][0])

    def end_sessions(self) -> None:
        """End all connections to the store, as a server that stops does."""
        self._ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fmq'")

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._server.ask(statement, values)


_STATES = """
    SELECT
        (SELECT count(*) FROM {0}fmq_due_{1} WHERE token IS NULL),
        (SELECT count(*) FROM {0}fmq_due_{1} WHERE token IS NOT NULL),
        (SELECT count(*) FROM {0}fmq_done_{1}),
        (SELECT count(*) FROM {0}fmq_dead_{1})
"""

BACKENDS: Mapping[str, Callable[[Path], BackendUnderTest]] = {
    "sqlite": SqliteUnderTest,
    "postgresql": PostgresUnderTest,
}
"""By the scheme of their URLs."""

EACH_STORE = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]
"""The schemes, as parameters of a fixture; those that need a server have the marker ``postgres``."""
