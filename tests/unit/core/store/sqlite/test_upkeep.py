"""What upkeep writes."""

from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.options import Retention
from support.backends import SqliteUnderTest
from support.counting import query

_KEEP = Retention(done_seconds=100, dead_seconds=100)


@pytest.fixture
def backend(tmp_path: Path) -> SqliteUnderTest:
    return SqliteUnderTest(tmp_path)


def test_queues_without_messages_cost_no_commit(backend: SqliteUnderTest) -> None:
    """Of thousands most are empty, and each commit is synced; a queue with a message has its marks."""
    with backend.open() as store, backend.open() as other:
        for name in "abc":
            store.declare(name)
        store.put([Incoming("b", "t", b"x", backend.clock.wall())])
        store.maintain(_KEEP)
        assert query(backend.path, "SELECT DISTINCT queue FROM fmq_mark") == [("b",)]
        version = other._database.sql.pragma("data_version")  # type: ignore[attr-defined]
        store.maintain(_KEEP)
        assert other._database.sql.pragma("data_version") == version  # type: ignore[attr-defined]
