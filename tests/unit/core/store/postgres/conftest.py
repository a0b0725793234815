"""A store in a schema of its own, in the database of this process's server."""

from pathlib import Path

import pytest

from support.backends import PostgresUnderTest


@pytest.fixture
def backend(tmp_path: Path) -> PostgresUnderTest:
    return PostgresUnderTest(tmp_path)
