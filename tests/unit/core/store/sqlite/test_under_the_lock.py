"""What has to be looked at with the write lock held: others may have written while it was waited for.

``waiting`` stands for that wait: it runs when the write transaction is about to begin.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fmq.errors import StoreUnavailable
from fmq.message import Incoming, Terms
from fmq.outcome import Done, GiveBack, RetryLater
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.clock import FakeClock

_WAIT = 30.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pair(tmp_path: Path, clock: FakeClock) -> Iterator[tuple[Store, Store]]:
    """Two connections to a queue of three messages of two topics."""
    url = f"sqlite:///{tmp_path}/q.db"
    with open_store(url, clock=clock) as queue, open_store(url, clock=clock) as other:
        queue.declare("q")
        queue.put([Incoming("q", topic, b"x", clock.wall()) for topic in "aab"])
        yield queue, other


@contextmanager
def waiting(queue: Store, meanwhile: Callable[[], object], *, statement: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Run ``meanwhile`` right before the next ``statement``: a write transaction, if not told."""
    sql = queue._database.sql  # type: ignore[attr-defined]

    def trace(_cursor: object, text: str, _values: object) -> bool:
        if text.startswith(statement):
            sql.exec_trace = None
            meanwhile()
        return True

    sql.exec_trace = trace
    yield
    assert sql.exec_trace is None, f"{statement} was not run"


@pytest.mark.parametrize("ordered", [False, True])
def test_a_wait_does_not_eat_into_the_lease(pair: tuple[Store, Store], clock: FakeClock, *, ordered: bool) -> None:
    """A lease begins when the message is lent, however long that took."""
    queue, other = pair
    assert len(queue.claim("q", 1, lease=1, ordered=ordered)) == 1
    with waiting(queue, lambda: clock.advance(_WAIT)):
        (claim,) = queue.claim("q", 1, lease=60, ordered=ordered)
    with waiting(queue, lambda: clock.advance(_WAIT)):
        (extended,) = queue.extend([claim], lease=60)
    clock.advance(59)
    got = [one.message.id for _ in range(3) for one in other.claim("q", 1, lease=60, ordered=ordered)]
    assert claim.message.id not in got
    assert extended.lease_until - claim.lease_until == _WAIT


@pytest.mark.parametrize("ordered", [False, True])
def test_a_pause_that_came_first(pair: tuple[Store, Store], *, ordered: bool) -> None:
    """A queue that was paused while the claim waited lends nothing."""
    queue, other = pair
    assert len(queue.claim("q", 1, lease=60, ordered=ordered)) == 1
    with waiting(queue, lambda: other.pause("q", "now")):
        assert queue.claim("q", 2, lease=60, ordered=ordered) == []
    assert queue.stats("q").claimed == 1


@pytest.mark.parametrize("ordered", [False, True])
def test_another_claim_that_came_first(pair: tuple[Store, Store], *, ordered: bool) -> None:
    """What another one has claimed meanwhile is not claimed again."""
    queue, other = pair
    assert len(queue.claim("q", 1, lease=60, ordered=ordered)) == 1
    first: list[int] = []
    with waiting(queue, lambda: first.extend(one.message.id for one in other.claim("q", 1, lease=60, ordered=ordered))):
        second = [one.message.id for one in queue.claim("q", 9, lease=60, ordered=ordered)]
    assert len(first) == 1
    assert not set(first) & set(second)


def test_an_order_that_was_changed(pair: tuple[Store, Store]) -> None:
    """A claim of the old kind gets nothing."""
    queue, other = pair
    (claim,) = queue.claim("q", 1, lease=60)
    queue.settle([(claim, Done())])
    with (
        waiting(queue, lambda: other.set_order("q", ordered=True)),
        pytest.raises(Exception, match="delivered in order"),
    ):
        queue.claim("q", 1, lease=60)


@pytest.mark.parametrize("outcome", [RetryLater(60), GiveBack(60)])
def test_a_delay_begins_with_its_commit(
    pair: tuple[Store, Store], clock: FakeClock, outcome: RetryLater | GiveBack
) -> None:
    """Of a settlement, as of a message that is put with one."""
    queue, other = pair
    claims = queue.claim("q", 3, lease=600)
    with waiting(queue, lambda: clock.advance(_WAIT)):
        queue.settle([(claims[0], outcome)])
    with waiting(queue, lambda: clock.advance(_WAIT)):
        queue.put([Incoming("q", "late", b"x", clock.wall())], terms={0: Terms(delay=60)})
    clock.advance(29)
    assert other.claim("q", 9, lease=60) == []
    clock.advance(1)
    assert [one.message.id for one in other.claim("q", 9, lease=60)] == [claims[0].message.id]
    clock.advance(30)
    assert [one.message.topic for one in other.claim("q", 9, lease=60)] == ["late"]


def test_an_age_begins_with_its_commit(pair: tuple[Store, Store], clock: FakeClock) -> None:
    """What came later has a later age, though its batch was put together first: retention relies on it."""
    queue, other = pair
    batch = [Incoming("q", "mine", b"x", clock.wall())]

    def meanwhile() -> None:
        clock.advance(_WAIT)
        other.put([Incoming("q", "theirs", b"x", clock.wall())])
        clock.advance(1)

    with waiting(queue, meanwhile):
        queue.put(batch)
    ages = [age for (age,) in queue._database.rows("SELECT changed_at FROM msg_q ORDER BY id")]  # type: ignore[attr-defined]
    assert ages == sorted(ages)


def test_a_queue_that_is_deleted_and_created_during_a_put(pair: tuple[Store, Store], clock: FakeClock) -> None:
    """The call that met neither the old table nor the new one can be made again; it is no unknown error."""
    queue, other = pair
    queue.settle([(claim, Done()) for claim in queue.claim("q", 3, lease=60)])
    assert other.delete_queue("q")
    with (
        waiting(queue, lambda: other.declare("q"), statement="SELECT 1 FROM fmq_queue"),
        pytest.raises(StoreUnavailable),
    ):
        queue.put([Incoming("q", "a", b"x", clock.wall())])
    queue.put([Incoming("q", "a", b"x", clock.wall())])
    assert len(other.claim("q", 3, lease=60)) == 1
