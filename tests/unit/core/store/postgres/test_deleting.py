"""Deleting a queue while other sessions use its tables, and tables that are missing for another reason."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from fmq.errors import QueueInUse, StoreRefused, UnknownQueue
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.roles import Store
from support.backends import PostgresUnderTest
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_MESSAGE = Incoming("q", "t", b"x", 1.0)


@pytest.fixture
def store(backend: PostgresUnderTest) -> Iterator[Store]:
    """With two queues, each of which was used."""
    with backend.open() as opened:
        for name in ("q", "other"):
            opened.declare(name)
            opened.put([_MESSAGE._replace(queue=name)])
            opened.settle([(claim, Done()) for claim in opened.claim(name, 9, lease=60)])
        yield opened


@pytest.fixture
def outsider(backend: PostgresUnderTest) -> Iterator[psycopg.Connection]:
    """In a transaction, as a session that is under way."""
    with psycopg.connect(backend.url) as connection:
        yield connection


def waits(backend: PostgresUnderTest, count: int) -> None:
    """Until this number of fmq sessions wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fmq' AND wait_event_type = 'Lock'"
    wait_for(lambda: backend.execute(waiting) == [(count,)], what="sessions that wait")


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.put([_MESSAGE]),
        lambda store: store.put([_MESSAGE._replace(queue="other"), _MESSAGE]),
        lambda store: store.claim("q", 1, lease=60),
    ],
)
def test_who_waits_for_the_deletion_finds_no_queue(
    backend: PostgresUnderTest, store: Store, outsider: psycopg.Connection, use: Callable[[Store], object]
) -> None:
    """Nothing is written into a table that is gone, nor a part of a commit into others."""
    outsider.execute("LOCK TABLE fmq_msg_1 IN ROW EXCLUSIVE MODE")
    with backend.open() as other, ThreadPoolExecutor(2) as pool:
        other.stats("q")
        deletion = pool.submit(store.delete_queue, "q")
        waits(backend, 1)
        used = pool.submit(use, other)
        waits(backend, 2)
        outsider.rollback()
        assert deletion.result()
        with pytest.raises(UnknownQueue):
            used.result()
        assert backend.full_count() == {"other": (0, 0, 1, 0)}
        assert other.stats("other").stored == 1


def test_who_deletes_messages_meanwhile(backend: PostgresUnderTest, store: Store, outsider: psycopg.Connection) -> None:
    """Finds no queue, or is first: the server ends one of two that wait for each other, and that one tries again."""
    outsider.execute("LOCK TABLE fmq_msg_1 IN ROW EXCLUSIVE MODE")
    with backend.open() as other, ThreadPoolExecutor(2) as pool:
        other.stats("q")
        deletion = pool.submit(store.delete_queue, "q")
        waits(backend, 1)
        used = pool.submit(other.delete_messages, "q", [1])
        waits(backend, 2)
        outsider.rollback()
        assert deletion.result()
        assert isinstance(used.exception(), UnknownQueue) or used.result() == 1
        assert backend.full_count() == {"other": (0, 0, 1, 0)}


def test_a_message_that_comes_meanwhile_stays(
    backend: PostgresUnderTest, store: Store, outsider: psycopg.Connection
) -> None:
    """The deletion waits for a session that is storing, and refuses then."""
    outsider.execute("INSERT INTO fmq_due_1 (id, due_at, size, topic) VALUES (99, 0, 1, 't')")
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(store.delete_queue, "q")
        waits(backend, 1)
        outsider.commit()
        with pytest.raises(QueueInUse):
            deletion.result()
    assert backend.full_count()["q"] == (1, 0, 1, 0)


def test_a_deadlock_with_the_deletion_is_tried_again(
    backend: PostgresUnderTest, store: Store, outsider: psycopg.Connection
) -> None:
    """Each holds a table that the other one waits for; the server ends one of the two."""
    outsider.execute("SET deadlock_timeout = '60s'; LOCK TABLE fmq_due_1 IN ROW EXCLUSIVE MODE")
    with ThreadPoolExecutor(2) as pool:
        deletion = pool.submit(store.delete_queue, "q")
        waits(backend, 1)
        other = pool.submit(outsider.execute, "LOCK TABLE fmq_msg_1 IN ROW EXCLUSIVE MODE")
        other.result()  # the deletion gave way
        outsider.rollback()
        assert deletion.result()


@pytest.mark.parametrize(
    ("table", "use"),
    [
        ("fmq_note", lambda store: store.recall("x")),
        ("fmq_queue", lambda store: store.stats("q")),
        ("fmq_dead_1", lambda store: store.dead_letters("q")),
    ],
)
def test_other_missing_tables(
    backend: PostgresUnderTest, store: Store, table: str, use: Callable[[Store], object]
) -> None:
    """They are not a deleted queue: the store is refused."""
    use(store)
    backend.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreRefused, match=table):
        use(store)


@pytest.mark.parametrize("data", ["", "nothing", "[]", '{"q": 7, "\\u0000": 1}', '{"q": [1]}', '{"q": {"a": 1}}'])
def test_a_minute_of_somebody_else(backend: PostgresUnderTest, store: Store, data: str) -> None:
    """It is left out, or has no figures of the queue; the others are there."""
    for _ in range(2):
        backend.clock.advance(60)
        store.note_minute()
    good = store.history()[1]
    backend.execute(f"UPDATE fmq_minute SET data = '{data}' WHERE minute < {good.minute}")
    for name in (None, "q"):
        found = store.history(name=name)
        assert found[-1].minute == good.minute
        assert found[-1].queues["q"] == good.queues["q"]
        assert all(not one.queues for one in found[:-1])
