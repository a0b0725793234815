"""The order of a queue: decided once, kept by all processes, and made of indexes that are committed before they are used."""

import threading
from pathlib import Path

import pytest

from fmq.cli.main import fmq_command
from fmq.errors import QueueError, StoreUnavailable, WrongOrder
from fmq.message import Incoming
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.roles import Store
from support.clock import FakeClock
from support.counting import query


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


def opened(path: Path, clock: FakeClock | None = None) -> Store:
    queue = open_store(f"sqlite:///{path}", StoreOptions(busy_seconds=5), clock=clock or FakeClock())
    queue.declare("q")
    return queue


def put(queue: Store, *payloads: str) -> None:
    """Messages whose topic is their first letter."""
    queue.put([Incoming("q", payload[0], payload.encode(), 1_800_000_000.0) for payload in payloads])


def ordered(queue: Store, limit: int = 10, *, lease: float = 60) -> list[str]:
    return [claim.message.text for claim in queue.claim("q", limit, lease=lease, ordered=True)]


class TestOneAtATime:
    @pytest.mark.parametrize("by", ["requeued dead letter", "replayed message", "row inserted by hand"])
    def test_an_older_one_that_comes_back(self, path: Path, by: str) -> None:
        """x1 comes back while x2 is lent: it waits until x2 is settled, and then goes before x3."""
        clock = FakeClock()
        with opened(path, clock) as queue, opened(path, clock) as other:
            put(queue, "x1", "x2", "x3", "y1")
            first, y = queue.claim("q", 10, lease=60, ordered=True)
            queue.settle([(first, Dead("no") if by.startswith("requeued") else Done()), (y, Done())])
            (second,) = queue.claim("q", 10, lease=60, ordered=True)
            if by == "requeued dead letter":
                assert other.requeue_dead("q") == 1
            elif by == "replayed message":
                assert other.requeue_done("q", [first.message.id]) == 1
            else:
                queue._database.sql.execute("DELETE FROM msg_q WHERE id = 1")  # type: ignore[attr-defined]
                queue._database.sql.execute(  # type: ignore[attr-defined]
                    "INSERT INTO msg_q (id, topic, payload, received_at) VALUES (1, 'x', 'x1', 1)"
                )
            for who in (queue, other):
                assert ordered(who) == []
            other.settle([(second, Done())])
            assert ordered(other) == ["x1"]

    def test_each_end_of_a_claim_lets_the_next_one_out(self, path: Path) -> None:
        """Given back, waiting for a retry, dead: the topic goes on as it should, with one at a time."""
        clock = FakeClock()
        with opened(path, clock) as queue:
            put(queue, "x1", "x2")
            for outcome in (GiveBack(), RetryLater(0), GiveBack(0.0)):
                (claim,) = queue.claim("q", 10, lease=60, ordered=True)
                assert claim.message.text == "x1"
                queue.settle([(claim, outcome)])
            (lost,) = queue.claim("q", 10, lease=60, ordered=True)
            clock.advance(60)
            (suspect,) = queue.claim("q", 10, lease=60, ordered=True)
            assert (suspect.message.text, suspect.suspect) == ("x1", True)
            assert queue.settle([(lost, Done())]) == [lost]
            queue.settle([(suspect, Dead("no"))])
            assert ordered(queue) == ["x2"]


class TestMode:
    @pytest.mark.parametrize("first", [True, False])
    def test_the_first_claim_decides(self, path: Path, *, first: bool) -> None:
        """Also one that finds nothing; a claim of the other kind gets an error that says what to do, and no message."""
        with opened(path) as queue, opened(path) as other:
            assert queue.ordered("q") is None
            assert queue.claim("q", 10, lease=60, ordered=first) == []
            put(queue, "x1", "x2")
            with pytest.raises(WrongOrder, match=f"FMQ_ORDERED={str(first).lower()}.*fmq order 'q'"):
                other.claim("q", 10, lease=60, ordered=not first)
            assert other.ordered("q") is queue.ordered("q") is first
            assert len(other.claim("q", 10, lease=60, ordered=first)) == (1 if first else 2)

    def test_two_that_begin_at_once(self, path: Path) -> None:
        """Exactly one of them decides."""
        opened(path).close()
        refused = []
        start = threading.Barrier(2)

        def claim(*, ordered: bool) -> None:
            with opened(path) as queue:
                start.wait()
                try:
                    queue.claim("q", 1, lease=60, ordered=ordered)
                except WrongOrder:
                    refused.append(ordered)

        threads = [threading.Thread(target=claim, kwargs={"ordered": which}) for which in (True, False)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with opened(path) as queue:
            assert refused == [not queue.ordered("q")]

    def test_an_operator_changes_it(self, path: Path) -> None:
        """When nothing is claimed; processes that work the old way notice it at their next claim."""
        clock = FakeClock()
        with opened(path, clock) as queue, opened(path, clock) as other:
            put(queue, "x1", "x2", "x3")
            claims = queue.claim("q", 2, lease=60)
            with pytest.raises(QueueError, match="hold 2 messages"):
                other.set_order("q", ordered=True)
            queue.settle([(claims[0], Done()), (claims[1], GiveBack())])
            other.set_order("q", ordered=True)
            with pytest.raises(WrongOrder):
                queue.claim("q", 2, lease=60)
            assert ordered(queue) == ["x2"]
            clock.advance(60)  # nobody holds it any more
            other.set_order("q", ordered=False)
            assert "fmq_msg_q_topic" not in str(query(path, "SELECT name FROM sqlite_schema"))
            assert [claim.message.text for claim in queue.claim("q", 2, lease=60)] == ["x3"]

    def test_an_idle_processor_notices_a_change(self, path: Path) -> None:
        """Also when nothing can be claimed."""
        with opened(path) as queue, opened(path) as other:
            assert queue.claim("q", 1, lease=60) == []
            other.set_order("q", ordered=True)
            with pytest.raises(WrongOrder):
                queue.claim("q", 1, lease=60)

    def test_the_command(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """`fmq order` shows and changes it."""
        opened(path).close()
        told = []
        for words in ([], ["on"], [], ["off"]):
            fmq_command.main(["order", "q", *words, "--queue-url", f"sqlite:///{path}"], standalone_mode=False)
            told.append(capsys.readouterr().out)
        assert ["has no order yet" in told[0], *("FMQ_ORDERED=true" in one for one in told[1:])] == [
            True,
            True,
            True,
            False,
        ]


class TestIndexes:
    def test_a_disk_that_is_full_at_the_first_claim(self, path: Path) -> None:
        """Nothing is half made: the claim fails as unavailable each time, and succeeds when there is room."""
        with opened(path) as queue:
            for number in range(100):
                put(queue, *(f"{number % 10}{'x' * 200}" for _ in range(20)))
            sql = queue._database.sql  # type: ignore[attr-defined]
            sql.pragma("max_page_count", sql.pragma("page_count"))
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="full"):
                    queue.claim("q", 10, lease=60, ordered=True)
            assert queue.ordered("q") is None
            sql.pragma("max_page_count", 1_000_000)
            assert len(queue.claim("q", 10, lease=60, ordered=True)) == 10

    def test_a_claim_makes_none(self, path: Path) -> None:
        """After the first one, no claim or settlement changes the schema."""
        with opened(path) as queue:
            put(queue, "x1", "x2", "y1")
            claims = list(queue.claim("q", 1, lease=60, ordered=True))
            version = query(path, "PRAGMA schema_version")
            with opened(path) as other:
                claims += other.claim("q", 10, lease=60, ordered=True)
                other.settle([(claim, Done()) for claim in claims])
            assert query(path, "PRAGMA schema_version") == version
