"""Retention, and what the store knows of itself."""

from collections.abc import Callable

import pytest

from contract.filling import figures, fill
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.options import Retention
from fmq.store.roles import Store
from support.clock import FakeClock
from support.wait import wait_for

Connect = Callable[[], Store]


class TestMaintain:
    def test_retention(self, queue: Store, clock: FakeClock) -> None:
        """Done messages go after their time, dead ones after theirs, unsettled ones never."""
        fill(queue, clock, *"abcd")
        a, b, _c = queue.claim("q", 3, lease=10_000)
        queue.settle([(a, Done()), (b, Dead("x"))])
        keep = Retention(done_seconds=100, dead_seconds=200)
        assert queue.maintain(keep) == 0
        clock.advance(101)
        assert (queue.maintain(keep), figures(queue)) == (1, (1, 1, 0, 1))
        clock.advance(100)
        assert (queue.maintain(keep), figures(queue)) == (1, (1, 1, 0, 0))
        clock.advance(1e9)
        assert queue.maintain(Retention(None, None)) == 0
        assert queue.stats("q").stored == 4

    def test_discarded_dead_letters_are_named(self, queue: Store, clock: FakeClock) -> None:
        """By queue, in each step; done messages and those that an operator has purged are not among them."""
        queue.declare("p")
        fill(queue, clock, *"abcde")
        fill(queue, clock, "x", name="p")
        claims = [*queue.claim("q", 5, lease=60), *queue.claim("p", 1, lease=60)]
        queue.settle([(claim, Done() if claim.message.text == "e" else Dead("x")) for claim in claims])
        queue.purge_dead("q", limit=1)
        clock.advance(10)
        found: list[tuple[str, int]] = []
        while queue.maintain(Retention(0, 5), limit=2, on_discarded=lambda name, count: found.append((name, count))):
            pass
        assert sum(count for name, count in found if name == "q") == 3
        assert [count for name, count in found if name == "p"] == [1]
        assert max(count for _, count in found) <= 2

    def test_in_steps(self, queue: Store, clock: FakeClock) -> None:
        """A step deletes at most the given number; repeating it until 0 deletes all that is due."""
        fill(queue, clock, *(str(number) for number in range(25)))
        queue.settle([(claim, Done()) for claim in queue.claim("q", 25, lease=60)])
        steps = []
        while deleted := queue.maintain(Retention(done_seconds=0), limit=10):
            steps.append(deleted)
        assert steps == [10, 10, 5]

    def test_many_queues(self, queue: Store, clock: FakeClock) -> None:
        """A step may leave some of many queues to the next ones, but none to none."""
        for number in range(20):
            queue.declare(f"q{number}")
            fill(queue, clock, "a", name=f"q{number}")
            queue.settle([(queue.claim(f"q{number}", 1, lease=60)[0], Done())])
        assert sum(queue.maintain(Retention(done_seconds=0)) for _ in range(2)) == 20

    def test_kept_forever(self, queue: Store, clock: FakeClock) -> None:
        """None means never."""
        fill(queue, clock, "a")
        queue.settle([(queue.claim("q", 1, lease=60)[0], Done())])
        clock.advance(1e9)
        assert queue.maintain(Retention(done_seconds=None, dead_seconds=None)) == 0


class TestWatching:
    def test_changed(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Another connection's commit is noticed; nothing is noticed when nothing happened, not even what one did oneself."""
        other = connect()
        other.wait(0)
        assert not other.wait(0)
        fill(queue, clock, "a")
        assert other.wait(5)
        wait_for(lambda: not other.wait(0.2), 5, what="silence, also after the second look that follows a notification")
        fill(other, clock, "b")
        assert not other.wait(0)

    @pytest.mark.parametrize("settlement", [RetryLater(300), GiveBack(300), GiveBack()])
    def test_oldest_pending(self, queue: Store, clock: FakeClock, settlement: Settlement) -> None:
        """The oldest pending message is known also when it waits behind younger ones for its next attempt."""
        assert queue.stats("q").oldest_pending_at is None
        start = clock.wall()
        fill(queue, clock, "a", "b")
        claims = queue.claim("q", 2, lease=60)
        clock.advance(10)
        fill(queue, clock, "c")
        assert queue.stats("q").oldest_pending_at == start + 10
        queue.settle([(claims[0], settlement), (claims[1], Done())])
        assert queue.stats("q").oldest_pending_at == start

    def test_store(self, queue: Store) -> None:
        """Sizes and free space are reported; a probe writes without changing the figures."""
        queue.probe()
        stats = queue.store_stats()
        assert stats.database_bytes >= 0
        assert stats.free_disk_bytes is None or stats.free_disk_bytes > 0
        assert figures(queue) == (0, 0, 0, 0)

    def test_notes(self, connect: Connect, queue: Store) -> None:
        """A note is there for every connection, and the last one counts."""
        assert queue.recall("k") is None
        queue.remember("k", "1")
        queue.remember("k", "2")
        assert connect().recall("k") == "2"


def test_a_store_keeps_its_identity(connect: Connect, queue: Store) -> None:
    """Every connection sees the same one."""
    identity = connect().identity()
    assert queue.identity() == connect().identity() == identity


def test_a_note_is_exchanged_only_if_nobody_has_changed_it(queue: Store) -> None:
    """Of two processes that have read the same note, one writes."""
    assert queue.exchange("key", None, "one")
    assert not queue.exchange("key", None, "two")
    assert not queue.exchange("key", "zero", "two")
    assert queue.recall("key") == "one"
    assert queue.exchange("key", "one", "two")
    assert queue.recall("key") == "two"
