"""A connection that only puts."""

from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest

from fmq.errors import QueueError
from fmq.message import Incoming, Properties, Terms
from fmq.outcome import Done
from fmq.store.options import StoreOptions
from support.backends import SqliteUnderTest
from support.wait import wait_for

_PUTS = StoreOptions(busy_seconds=5, only_puts=True)


@pytest.fixture
def backend(tmp_path: Path) -> SqliteUnderTest:
    return SqliteUnderTest(tmp_path)


def test_what_it_stores_is_counted_and_complete(backend: SqliteUnderTest) -> None:
    """Ordinary and large messages, dead letters, duplicates and delays: the counters are those of a full count, and all come out."""
    at = backend.clock.wall()
    messages = [
        *(Incoming("q", f"t/{number}", b"x", at, properties=Properties(content_type="a")) for number in range(78)),
        Incoming("q", "large", b"x" * 100_000, at),
        Incoming("q", "dead", b"x", at, reason="it can't be read"),
        Incoming("p", "t", b"x", at),
    ]
    with backend.open(_PUTS) as puts, backend.open() as other:
        for name in ("p", "q"):
            puts.declare(name)
        puts.put(messages)
        puts.put(messages[:3], terms={0: Terms("key", 60), 1: Terms("key", 60), 2: Terms(delay=60)})
        counted = {
            one.name: (one.pending, one.claimed, one.done, one.dead) for one in map(other.stats, sorted(other.names()))
        }
        assert counted == backend.full_count() == {"p": (1, 0, 0, 0), "q": (81, 0, 0, 1)}
        claims = other.claim("q", 100, lease=60)
        assert [claim.message.topic for claim in claims] == [*(f"t/{number}" for number in range(78)), "large", "t/0"]
        other.settle([(claim, Done()) for claim in claims])
        assert backend.full_count()["q"] == (1, 0, 80, 1)


def test_it_refuses_to_change_or_delete_messages(backend: SqliteUnderTest) -> None:
    """Without triggers the counters would go wrong, so nothing changes, and the error says that this is not allowed."""
    with backend.open(_PUTS) as puts:
        puts.declare("q")
        puts.put([Incoming("q", "t", b"x", backend.clock.wall(), reason="dead") for _ in range(3)])
        for change in (puts.requeue_dead, puts.purge_dead):
            with pytest.raises(QueueError, match="not authorized"):
                change("q")
    assert backend.full_count() == {"q": (0, 0, 0, 3)}


@pytest.mark.parametrize("late", [False, True])
def test_triggers_of_others_run(backend: SqliteUnderTest, *, late: bool) -> None:
    """Somebody's own trigger on a queue's table runs for each message that a listener stores, also soon after it was made."""
    with backend.open() as store:
        store.declare("q")
    with ExitStack() as stack:
        sql = apsw.Connection(str(backend.path))
        stack.callback(sql.close)
        sql.execute("CREATE TABLE seen (topic TEXT)")

        def make() -> None:
            sql.execute("CREATE TRIGGER mine AFTER INSERT ON msg_q BEGIN INSERT INTO seen VALUES (NEW.topic); END")

        if not late:
            make()
        puts = stack.enter_context(backend.open(_PUTS))

        def put() -> bool:
            puts.put([Incoming("q", "t", b"x", backend.clock.wall())])
            return sql.execute("SELECT topic FROM seen LIMIT 1").fetchall() == [("t",)]

        if late:
            assert not put()
            make()
            wait_for(put, what="a trigger that was made meanwhile to run")
        else:
            assert put()
        puts.purge_dead("q")  # its own triggers run again, so nothing is refused
    assert backend.full_count()["q"][1:] == (0, 0, 0)
