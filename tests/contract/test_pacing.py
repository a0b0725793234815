"""A rate that all users of a store share."""

import math
from collections.abc import Callable

import pytest

from fmq.store.pacing import Bucket, Taken
from fmq.store.roles import Store
from support.backends import BackendUnderTest
from support.clock import FakeClock

Connect = Callable[[], Store]


def test_the_stores_time_goes_with_the_clock(queue: Store, connect: Connect, clock: FakeClock) -> None:
    """For all connections alike, whatever somebody does to the wall clock."""
    before = queue.now()
    clock.advance(2.5)
    clock.jump(-86_400)
    assert queue.now() == pytest.approx(before + 2.5)
    assert connect().now() == pytest.approx(before + 2.5)


def test_a_bucket_starts_full_and_fills_with_time(queue: Store, clock: FakeClock) -> None:
    """Up to its depth, and parts of a permit are kept."""
    bucket = Bucket(queue, "mine", per_second=4.0, depth=10.0)
    assert bucket.take(least=1, most=100) == Taken(10)
    nothing = bucket.take(least=2, most=100)
    assert nothing.permits == 0
    assert nothing.wait == pytest.approx(0.5, abs=1e-3)
    clock.advance(0.4)
    assert bucket.take(least=1, most=100) == Taken(1)
    clock.advance(0.1)
    assert bucket.take(least=1, most=100) == Taken(1)
    clock.advance(3600)
    assert bucket.take(least=1, most=4) == Taken(4)
    assert bucket.take(least=1, most=100) == Taken(6)


def test_users_share_a_bucket_by_its_key(queue: Store, connect: Connect) -> None:
    """And only by its key."""
    one = Bucket(queue, "mine", per_second=1.0, depth=5.0)
    other = Bucket(connect(), "mine", per_second=1.0, depth=5.0)
    assert one.take(least=1, most=3) == Taken(3)
    assert other.take(least=1, most=3) == Taken(2)
    assert not one.take(least=1, most=1).permits
    assert Bucket(queue, "another", per_second=1.0, depth=5.0).take(least=1, most=9) == Taken(5)


def test_what_is_given_back_can_be_taken(queue: Store, connect: Connect) -> None:
    """By anybody, but never more than the depth."""
    one = Bucket(queue, "mine", per_second=1.0, depth=5.0)
    other = Bucket(connect(), "mine", per_second=1.0, depth=5.0)
    assert one.take(least=5, most=5) == Taken(5)
    one.give_back(2)
    assert other.take(least=1, most=9) == Taken(2)
    one.give_back(100)
    assert other.take(least=1, most=9) == Taken(5)


def test_time_passes_while_nobody_looks(queue: Store, backend: BackendUnderTest, clock: FakeClock) -> None:
    """Also across a restart of all users, and a new boot of their machine."""
    assert Bucket(queue, "mine", per_second=1.0, depth=5.0).take(least=1, most=9) == Taken(5)
    queue.close()
    clock.advance(3)
    with backend.open() as again:
        assert Bucket(again, "mine", per_second=1.0, depth=5.0).take(least=1, most=9) == Taken(3)


@pytest.mark.parametrize("note", ["", "nan", "-inf", "1e400", "nonsense"])
def test_a_note_that_somebody_has_changed_stops_nothing(queue: Store, note: str) -> None:
    """It counts as a bucket that is full, or that is empty now."""
    queue.remember("rate: mine", note)
    bucket = Bucket(queue, "mine", per_second=1.0, depth=5.0)
    taken = bucket.take(least=1, most=9)
    assert taken == Taken(5) or taken.wait == pytest.approx(1.0, abs=1e-3)


def test_a_clock_that_was_set_back_does_not_stop_the_rate(queue: Store, clock: FakeClock) -> None:
    """As after a failover to a server whose clock is behind: permits come at once at the same rate."""
    bucket = Bucket(queue, "mine", per_second=1.0, depth=5.0)
    assert bucket.take(least=1, most=9) == Taken(5)
    clock.advance(-1000)
    assert bucket.take(least=1, most=9).wait == pytest.approx(1.0, abs=1e-3)
    queue.remember("rate: mine", repr(queue.now() + 1000))
    assert bucket.take(least=1, most=9).wait == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("per_second", [5 / 3600, 1.0, 16.7, 1000.0, 100_000.0])
def test_the_rate_is_exact_in_the_long_run(queue: Store, clock: FakeClock, per_second: float) -> None:
    """Within the depth, for takers that come whenever they may."""
    bucket = Bucket(queue, "mine", per_second=per_second, depth=max(1.5, per_second))
    block = max(1, math.floor(per_second / 10))
    begun = queue.now()
    count = 0
    for _ in range(300):
        permits, wait = bucket.take(least=block, most=block)
        count += permits
        clock.advance(wait if not permits else 0.0)
    passed = (queue.now() - begun) * per_second
    assert passed - 1 <= count <= passed + max(1.5, per_second) + 1
