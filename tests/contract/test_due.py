"""Since when the message that has been due for longest has been due."""

from collections.abc import Callable

import pytest

from contract.filling import fill
from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


def _due(queue: Store) -> float | None:
    (stats,) = queue.all_stats()
    assert stats == queue.stats("q")
    return stats.oldest_due_at


class TestOldestDue:
    def test_new_messages(self, queue: Store, clock: FakeClock) -> None:
        """Since its receipt; what is claimed or settled does not wait any more."""
        assert _due(queue) is None
        start = clock.wall()
        fill(queue, clock, "a")
        clock.advance(10)
        fill(queue, clock, "b")
        assert _due(queue) == start
        (a,) = queue.claim("q", 1, lease=60)
        assert _due(queue) == start + 10
        (b,) = queue.claim("q", 1, lease=60)
        assert _due(queue) is None
        queue.settle([(a, Done()), (b, Dead("x"))])
        assert _due(queue) is None

    def test_a_planned_retry(self, queue: Store, clock: FakeClock) -> None:
        """Not before its time comes, and since then: also behind others that are due, and in front of them."""
        start = clock.wall()
        fill(queue, clock, "a")
        (a,) = queue.claim("q", 1, lease=60)
        queue.settle([(a, RetryLater(100))])
        clock.advance(50)
        assert _due(queue) is None
        assert queue.stats("q").oldest_pending_at == start
        clock.advance(50)
        assert _due(queue) == start + 100
        clock.advance(7)
        fill(queue, clock, "b")
        assert _due(queue) == start + 100

    def test_a_delayed_message(self, queue: Store, clock: FakeClock) -> None:
        """Since the end of its delay."""
        start = clock.wall()
        queue.put([Incoming("q", "t", b"a", start)], terms={0: Terms(delay=30)})
        clock.advance(29)
        assert _due(queue) is None
        clock.advance(5)
        assert _due(queue) == start + 30

    def test_a_lease_that_has_run_out(self, queue: Store, clock: FakeClock) -> None:
        """Its worker is gone, so it is due since the end of the lease, in front of younger messages too."""
        start = clock.wall()
        fill(queue, clock, "a")
        queue.claim("q", 1, lease=60)
        clock.advance(70)
        assert _due(queue) == start + 60
        fill(queue, clock, "b")
        assert _due(queue) == start + 60

    def test_given_back(self, queue: Store, clock: FakeClock) -> None:
        """It is due as before, or from the given time on."""
        start = clock.wall()
        fill(queue, clock, "a")
        (a,) = queue.claim("q", 1, lease=60)
        clock.advance(5)
        queue.settle([(a, GiveBack())])
        assert _due(queue) == start
        (a,) = queue.claim("q", 1, lease=60)
        queue.settle([(a, GiveBack(20))])
        clock.advance(19)
        assert _due(queue) is None
        clock.advance(1)
        assert _due(queue) == start + 25

    def test_requeued(self, queue: Store, clock: FakeClock) -> None:
        """Since the operator has requeued it, however long ago it came."""
        start = clock.wall()
        fill(queue, clock, "a")
        queue.settle([(queue.claim("q", 1, lease=60)[0], Dead("x"))])
        clock.advance(9_000)
        queue.requeue_dead("q")
        clock.advance(3)
        assert _due(queue) == start + 9_000

    def test_set_aside_for_routes(self, queue: Store, clock: FakeClock) -> None:
        """It is due, since its receipt, whichever route it waits for; also after others, and for no route."""
        start = clock.wall()
        for name in "abc":
            fill(queue, clock, name)
            clock.advance(1)
        a, b, c = queue.claim("q", 3, lease=60)
        queue.settle([(a, RetryLater(5_000)), (b, GiveBack(300, "x")), (c, GiveBack(300, ""))])
        assert _due(queue) == start + 1
        (b,) = queue.claim("q", 1, lease=60, route="x")
        assert _due(queue) == start + 2
        queue.settle([(b, Done())])
        fill(queue, clock, "d")
        assert _due(queue) == start + 2

    def test_a_paused_queue(self, queue: Store, clock: FakeClock) -> None:
        """Its messages are due: whether that matters is for others to say."""
        start = clock.wall()
        fill(queue, clock, "a")
        queue.pause("q", "x")
        assert _due(queue) == start

    @pytest.mark.parametrize("seconds", [-3_600, 3_600])
    def test_a_wall_clock_that_is_set(self, queue: Store, clock: FakeClock, seconds: float) -> None:
        """A retry has been due for as long as before: the time is given by the clock as it is now."""
        fill(queue, clock, "a")
        queue.settle([(queue.claim("q", 1, lease=60)[0], RetryLater(10))])
        clock.advance(40)
        clock.jump(seconds)
        due = _due(queue)
        assert due is not None
        assert clock.wall() - due == 30


def test_all_queues_at_once(connect: Connect, queue: Store, clock: FakeClock) -> None:
    """Each queue has its own figures, by name; one that another connection has deleted is left out."""
    other = connect()
    for name in ("z", "a"):
        other.declare(name)
    fill(queue, clock, "1", "2")
    assert [(one.name, one.stored) for one in queue.all_stats()] == [("a", 0), ("q", 2), ("z", 0)]
    other.delete_queue("a")
    other.pause("z", "why")
    assert [(one.name, one.paused is not None) for one in queue.all_stats()] == [("q", False), ("z", True)]
