"""Other queues on PostgreSQL, each as its documentation shows it: put one, take one and mark it as done."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import procrastinate
import psycopg
from procrastinate.jobs import DeleteJobCondition


class Peer(Protocol):
    """A queue of somebody else's, in a database of its own."""

    def put(self, payloads: list[bytes]) -> None:
        """Put each with a commit of its own."""

    def take(self, count: int) -> None:
        """Take this number, one after the other, and mark each as done."""

    def close(self) -> None: ...


class SkipLocked:
    """The loop of every tutorial: the oldest row that nobody has locked, deleted in the same transaction."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url)
        with self._connection.transaction():
            self._connection.execute("CREATE TABLE job (id bigserial PRIMARY KEY, payload bytea NOT NULL)")

    def put(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self._connection.execute("INSERT INTO job (payload) VALUES (%s)", [payload])
            self._connection.commit()

    def take(self, count: int) -> None:
        for _ in range(count):
            statement = "SELECT id, payload FROM job ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
            row = self._connection.execute(statement).fetchone()
            assert row is not None
            self._connection.execute("DELETE FROM job WHERE id = %s", [row[0]])
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()


class SkipLockedBatches:
    """The same with as much per transaction as a batch of ours has: the limit of what a table can do."""

    _BATCH = 500

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url)
        with self._connection.transaction():
            self._connection.execute("CREATE TABLE job (id bigserial PRIMARY KEY, payload bytea NOT NULL)")

    def put(self, payloads: list[bytes]) -> None:
        for first in range(0, len(payloads), self._BATCH):
            some = payloads[first : first + self._BATCH]
            self._connection.execute("INSERT INTO job (payload) SELECT unnest(%s::bytea[])", [some])
            self._connection.commit()

    def take(self, count: int) -> None:
        for _ in range(0, count, self._BATCH):
            statement = "SELECT id, payload FROM job ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
            rows = self._connection.execute(statement, [self._BATCH]).fetchall()
            self._connection.execute("DELETE FROM job WHERE id = ANY(%s)", [[row[0] for row in rows]])
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()


class Procrastinate:
    """procrastinate: a task that does nothing, and a worker that ends when there is none left."""

    def __init__(self, url: str) -> None:
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
        self._task = self._app.task(name="nothing")(_nothing)
        with self._app.open() as app:
            app.schema_manager.apply_schema()

    def put(self, payloads: list[bytes]) -> None:
        with self._app.open():
            for payload in payloads:
                self._task.defer(payload=payload.decode())

    def take(self, count: int) -> None:
        assert count
        asyncio.run(self._work())

    async def _work(self) -> None:
        async with self._app.open_async() as app:
            await app.run_worker_async(
                wait=False,
                install_signal_handlers=False,
                listen_notify=False,
                delete_jobs=DeleteJobCondition.SUCCESSFUL,
            )

    def close(self) -> None:
        pass


def _nothing(payload: str) -> None:
    assert payload


PEERS: dict[str, Callable[[str], Peer]] = {
    "SKIP LOCKED loop": SkipLocked,
    "SKIP LOCKED loop, 500 at once": SkipLockedBatches,
    "procrastinate": Procrastinate,
}
