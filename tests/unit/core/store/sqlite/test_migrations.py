"""A store of an older version is brought up to date: nothing is lost, and it becomes what a new one is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.outcome import Dead, Done, RetryLater
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.sqlite.schema.migrations import LATEST_VERSION
from support.clock import FakeClock
from support.counting import counted, counters, execute, query
from support.old_stores import VERSIONS, make_old_store

_MANY = """
    INSERT INTO msg_a__ (topic, payload, received_at, qos, changed_at, processed, dead_at, reason)
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {})
    SELECT 'a/' || n, 'p' || n, 1800000000.0 + n, NULL, NULL,
        n % 3 > 0, iif(n % 3 = 2, 1800000000.0 + n, NULL), iif(n % 3 = 2, 'reason ' || n, NULL) FROM number
"""


@pytest.fixture(params=VERSIONS, ids=lambda version: f"schema {version}")
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "queue.db"
    make_old_store(path, request.param)
    return path


@pytest.fixture
def store(old: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{old}", clock=FakeClock()) as opened:
        yield opened


def _shape(path: Path) -> dict[str, str]:
    """The SQL of everything but of tables that grew by ALTER TABLE, without its spaces; their columns instead."""
    found = {str(name): " ".join(str(sql).split()) for name, sql in query(path, "SELECT name, sql FROM sqlite_schema")}
    for name in ("fmq_queue", "msg_a__"):
        found[name] = str(query(path, 'SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY name', name))
    return found


def test_every_message_is_where_it_was(old: Path) -> None:
    """With its state, its attempts and its reason; the counters that only grow begin with what is kept."""
    states = "SELECT id, topic, payload, received_at, processed, retry_count, dead_at, reason FROM msg_a__ ORDER BY id"
    before, figures = query(old, states), counters(old)
    with open_store(f"sqlite:///{old}", clock=FakeClock()) as store:
        assert query(old, states) == before
        assert counters(old) == counted(old) == figures
        for name in store.names():
            stats = store.stats(name)
            assert (stats.handled, stats.failed, stats.died) == (stats.done, 0, stats.dead)
    assert query(old, "PRAGMA user_version") == [(LATEST_VERSION,)]
    assert query(old, "PRAGMA integrity_check") == [("ok",)]


def test_it_becomes_what_a_new_store_is(old: Path, store: Store, tmp_path: Path) -> None:
    """The same tables, indexes and triggers, in whichever version it began; old tables only lack CHECKs."""
    path = tmp_path / "new.db"
    with open_store(f"sqlite:///{path}", clock=FakeClock()) as new:
        for name in store.names():
            new.declare(name)
            if (mode := store.ordered(name)) is not None:
                new.set_order(name, ordered=mode)
        migrated, fresh = _shape(old), _shape(path)
        tables = {name for name in fresh if name.startswith("msg_")}
        assert set(migrated) == set(fresh)
        assert {name for name in fresh if migrated[name] != fresh[name]} <= tables


def test_everything_goes_on(old: Path, store: Store) -> None:
    """What the old version lent is settled, what waits is lent, and what came with this version counts and is kept."""
    [dead] = store.heads("a/#", Selection(State.DEAD)).heads
    store.put([Incoming("a/#", "a/new", b"new", 1_800_000_000.0)])
    claims = store.claim("a/#", 9, lease=60, ordered=False)
    assert claims[-1].message.topic == "a/new"
    store.settle(
        [(claims[0], RetryLater(0, "once more")), (claims[1], Dead("no more")), *((one, Done()) for one in claims[2:])]
    )
    assert store.requeue_dead("a/#", [dead.id]) == 1
    assert store.stats("a/#").failed == 2
    detail = store.detail("a/#", claims[0].message.id)
    assert detail is not None
    assert [one.reason for one in detail.attempts] == ["once more"]
    execute(old, "DELETE FROM msg_a__ WHERE id = ?", claims[0].message.id)
    assert query(old, "SELECT id FROM fmq_msg_a___attempts") == [(claims[1].message.id,)]
    assert counters(old) == counted(old)


@pytest.mark.parametrize("count", [3_000])
def test_many(old: Path, count: int) -> None:
    """A file with many messages in all states: all of them are there, and the counters equal a full count."""
    execute(old, _MANY.format(count))
    figures = counters(old)
    with open_store(f"sqlite:///{old}", clock=FakeClock()) as store:
        assert counters(old) == counted(old) == figures
        stats = store.stats("a/#")
        assert stats.handled == stats.done >= count // 3
        assert stats.died == stats.dead >= count // 3
        assert len(store.find("a/#", Selection(State.DEAD), limit=10 * count, within=10 * count).ids) == stats.dead
