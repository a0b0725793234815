"""Settling what was lent."""

from collections.abc import Callable

import pytest

from contract.filling import figures, fill, payloads
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestSettle:
    def test_each_outcome(self, queue: Store, clock: FakeClock) -> None:
        """Done, retry, dead and given back in one commit; each counted once."""
        fill(queue, clock, *"abcd")
        a, b, c, d = queue.claim("q", 4, lease=60)
        assert list(queue.settle([(a, Done()), (b, RetryLater(5, "slow")), (c, Dead("bad")), (d, GiveBack())])) == []
        assert figures(queue) == (2, 0, 1, 1)
        (back,) = queue.claim("q", 4, lease=60)
        assert (back.message.text, back.attempt, back.suspect) == ("d", 1, False)
        clock.advance(5)
        (retried,) = queue.claim("q", 4, lease=60)
        assert (retried.message.text, retried.attempt, retried.suspect) == ("b", 2, False)

    def test_given_back(self, queue: Store, clock: FakeClock) -> None:
        """It stands where it stood, before what came after it."""
        fill(queue, clock, "a", "b")
        (a,) = queue.claim("q", 1, lease=60)
        clock.advance(1)
        queue.settle([(a, GiveBack())])
        assert [payloads(queue, 1), payloads(queue, 1)] == [["a"], ["b"]]

    def test_given_back_with_a_delay(self, queue: Store, clock: FakeClock) -> None:
        """It is due then, behind what was due before, and no attempt is counted; a delay of 0 is not its old place."""
        fill(queue, clock, *"abc")
        a, b = queue.claim("q", 2, lease=60)
        clock.advance(1)
        assert list(queue.settle([(a, GiveBack(5)), (b, GiveBack(0.0))])) == []
        assert figures(queue) == (3, 0, 0, 0)
        assert payloads(queue, 1) == ["c"]
        assert payloads(queue, 2) == ["b"]
        clock.advance(5)
        (again,) = queue.claim("q", 2, lease=60)
        assert (again.message.text, again.attempt, again.suspect) == ("a", 1, False)

    @pytest.mark.parametrize("outcome", [Done(), RetryLater(0), Dead("x"), GiveBack(), GiveBack(5)])
    def test_a_second_settlement_has_no_effect(self, queue: Store, clock: FakeClock, outcome: Done) -> None:
        """A claim can be settled once; the second try is reported as stale and changes nothing."""
        fill(queue, clock, "a")
        (claim,) = queue.claim("q", 1, lease=60)
        queue.settle([(claim, Done())])
        assert list(queue.settle([(claim, outcome)])) == [claim]
        assert figures(queue) == (0, 0, 1, 0)

    def test_the_same_twice_in_one_call(self, queue: Store, clock: FakeClock) -> None:
        """Also within one commit only the first settlement counts."""
        fill(queue, clock, "a")
        (claim,) = queue.claim("q", 1, lease=60)
        assert list(queue.settle([(claim, RetryLater(1)), (claim, Dead("x"))])) == [claim]
        assert figures(queue) == (1, 0, 0, 0)
