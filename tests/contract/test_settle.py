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

    @pytest.mark.parametrize("lost", [(), (0,), (2,), (4,), (0, 4), (1, 2, 3), (0, 1, 2, 3, 4)])
    @pytest.mark.parametrize("step", [1, -1], ids=["in order", "reversed"])
    def test_a_batch_of_which_others_have_some(
        self, queue: Store, clock: FakeClock, lost: tuple[int, ...], step: int
    ) -> None:
        """Wherever they stand in the batch: those are stale and stay with their new holder, the rest is done."""
        fill(queue, clock, *"abcde")
        claims = list(queue.claim("q", 5, lease=60))
        gone = [claims[one] for one in lost]
        queue.settle([(claim, GiveBack()) for claim in gone])
        others = queue.claim("q", 5, lease=60)
        stale = queue.settle([(claim, Done()) for claim in claims[::step]])
        assert sorted(stale) == sorted(gone)
        assert figures(queue) == (0, len(lost), 5 - len(lost), 0)
        assert list(queue.settle([(claim, Done()) for claim in others])) == []
        assert figures(queue) == (0, 0, 5, 0)

    @pytest.mark.parametrize("some", [(0, 2, 4), (0, 4), (1, 2), (3, 1), (0, 0, 2), (2, 2)])
    def test_some_of_a_batch(self, queue: Store, clock: FakeClock, some: tuple[int, ...]) -> None:
        """The messages between them stay claimed, and one that is named twice counts once."""
        fill(queue, clock, *"abcde")
        claims = list(queue.claim("q", 5, lease=60))
        queue.settle([(claims[one], Done()) for one in some])
        assert figures(queue) == (0, 5 - len(set(some)), len(set(some)), 0)
        left = [claim for one, claim in enumerate(claims) if one not in some]
        assert list(queue.settle([(claim, Done()) for claim in left])) == []
        assert figures(queue) == (0, 0, 5, 0)
