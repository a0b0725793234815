"""The databases that the handler ``sql`` is tried on, and messages for it."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from fmq.message import NO_PROPERTIES, Message, Properties
from support.postgres import Postgres

START = 1_800_000_000.25


class Database(NamedTuple):
    """A database for one test. ``execute`` runs a statement on a connection of its own and returns its rows."""

    kind: str
    url: str
    execute: Callable[..., list[tuple[Any, ...]]]

    def make(self, columns: str, name: str = "message") -> None:
        """Make a table, as PostgreSQL writes it."""
        if self.kind == "sqlite":
            columns = columns.replace("BYTEA", "BLOB").replace("TIMESTAMPTZ", "TIMESTAMP").replace("JSONB", "JSON")
        self.execute(f"CREATE TABLE {name} ({columns})")


def on_sqlite(folder: Path) -> Database:
    path = folder / "user.db"

    def execute(statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement.replace("%s", "?"), values).fetchall()

    execute("PRAGMA user_version = 1")  # makes the file
    return Database("sqlite", f"sqlite:///{path}", execute)


def on_postgres(server: Postgres) -> Database:
    """The server's database, emptied."""
    server.execute("DROP SCHEMA public CASCADE")
    server.execute("CREATE SCHEMA public")
    return Database("postgresql", server.url, server.execute)


def message(
    number: int = 1,
    payload: bytes = b"",
    *,
    topic: str = "sensors/a/temp",
    queue: str = "sensors/+/temp",
    properties: Properties = NO_PROPERTIES,
) -> Message:
    """One as a processor gets it."""
    return Message(number, queue, topic, payload, START + number, properties=properties)
