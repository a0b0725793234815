"""The two databases that the handler is tried on: a file of SQLite's and a real PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backends import EACH_STORE
from support.databases import Database, on_postgres, on_sqlite
from support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server."""
    with Postgres() as server:
        yield server


@pytest.fixture(params=EACH_STORE)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return on_sqlite(tmp_path)
    return on_postgres(request.getfixturevalue("postgres"))
