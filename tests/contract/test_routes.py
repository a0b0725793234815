"""Messages that are set aside for a route of a processor."""

from collections.abc import Callable, Sequence

import pytest

from contract.filling import figures, fill
from fmq.errors import UnknownQueue
from fmq.outcome import Cause, Dead, Done, GiveBack, RetryLater
from fmq.store.records import Attempt
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.clock import FakeClock

Connect = Callable[[], Store]
MINUTES = 300.0


def _claimed(queue: Store, limit: int = 9, **options: object) -> list[str]:
    """What a claim gets; it is held."""
    return [claim.message.text for claim in queue.claim("q", limit, lease=60, **options)]  # type: ignore[arg-type]


def _park(queue: Store, texts: str, route: str, delay: float = MINUTES, *, ordered: bool = False) -> None:
    """Claim until the messages ``texts`` are found, set them aside, and give the others back."""
    claims = queue.claim("q", 99, lease=60, ordered=ordered)
    assert not queue.settle(
        [(one, GiveBack(delay, route) if one.message.text in texts else GiveBack()) for one in claims]
    )


def _seen(queue: Store, *, ordered: bool) -> list[str]:
    """What a claim gets; it is given back."""
    claims = queue.claim("q", 9, lease=60, ordered=ordered)
    queue.settle([(one, GiveBack()) for one in claims])
    return [one.message.text for one in claims]


def _attempts(queue: Store, message_id: int) -> Sequence[Attempt]:
    found = queue.detail("q", message_id)
    assert found
    return found.attempts


class TestRoutes:
    def test_set_aside(self, queue: Store, clock: FakeClock) -> None:
        """It is pending, counts no attempt, and only its route gets it: first and by id, then all that is due."""
        fill(queue, clock, *"abcdef")
        _park(queue, "bdf", "x")
        assert figures(queue) == (6, 0, 0, 0)
        assert _claimed(queue, 1) == ["a"]
        assert _claimed(queue, 2, route="y") == ["c", "e"]
        claims = queue.claim("q", 2, lease=60, route="x")
        assert [(one.message.text, one.attempt, one.suspect) for one in claims] == [("b", 1, False), ("d", 1, False)]
        fill(queue, clock, "g")
        assert _claimed(queue, route="x") == ["f", "g"]
        assert figures(queue) == (0, 7, 0, 0)

    def test_it_heals_itself(self, queue: Store, clock: FakeClock) -> None:
        """After its delay everybody gets it, who knows of routes or not; nothing remembers the route then."""
        fill(queue, clock, *"ab")
        _park(queue, "ab", "x")
        assert _claimed(queue) == []
        clock.advance(MINUTES)
        assert _claimed(queue, 1) == ["a"]
        (b,) = queue.claim("q", 9, lease=60, route="y")
        queue.settle([(b, GiveBack(MINUTES))])
        assert _claimed(queue, route="x") == []

    def test_once_lent_it_is_like_any_other(self, queue: Store, clock: FakeClock) -> None:
        """Given back, it is due at once; retried, when it says so; if its lease runs out, it is a suspect for everybody."""
        fill(queue, clock, *"abc")
        _park(queue, "abc", "x")
        a, b, _ = queue.claim("q", 9, lease=60, route="x")
        queue.settle([(a, GiveBack()), (b, RetryLater(5, "slow"))])
        assert _claimed(queue, route="x") == ["a"]
        clock.advance(5)
        assert _claimed(queue) == ["b"]
        clock.advance(60)
        (suspect,) = queue.claim("q", 9, lease=60)
        assert suspect.suspect

    @pytest.mark.parametrize("ordered", [False, True])
    def test_a_suspect_stays_one(self, queue: Store, clock: FakeClock, *, ordered: bool) -> None:
        """Set aside or given back, it comes alone and suspect until somebody has tried it; only its worker's death is counted."""
        fill(queue, clock, "a")
        queue.claim("q", 1, lease=1, ordered=ordered)
        clock.advance(2)
        fill(queue, clock, *"bc")
        for back, route in ((GiveBack(), None), (GiveBack(MINUTES, "x"), "x"), (GiveBack(5), None)):
            (suspect,) = queue.claim("q", 9, lease=60, ordered=ordered)
            assert (suspect.message.text, suspect.suspect, suspect.attempt) == ("a", True, 2)
            queue.settle([(suspect, back)])
            if route:
                assert "a" not in _seen(queue, ordered=ordered)
                (suspect,) = queue.claim("q", 9, lease=60, ordered=ordered, route=route)
                assert (suspect.message.text, suspect.suspect, suspect.attempt) == ("a", True, 2)
                queue.settle([(suspect, GiveBack())])
        assert "a" not in _seen(queue, ordered=ordered)
        clock.advance(5)
        while not (suspect := queue.claim("q", 1, lease=60, ordered=ordered)[0]).suspect:
            queue.settle([(suspect, Done())])
        assert figures(queue)[1] == 1
        queue.settle([(suspect, RetryLater(0, "no"))])
        assert [one.suspect for one in queue.claim("q", 9, lease=60, ordered=ordered) if one.message.text == "a"] == [
            False
        ]
        assert [one.cause for one in _attempts(queue, suspect.message.id)] == ["worker_died", "asked"]

    def test_a_requeued_message_is_no_suspect(self, queue: Store, clock: FakeClock) -> None:
        """An operator who brings a dead letter back has a reason: it comes with others."""
        fill(queue, clock, "a")
        queue.claim("q", 1, lease=1)
        clock.advance(2)
        (suspect,) = queue.claim("q", 1, lease=60)
        queue.settle([(suspect, Dead("its worker died", Cause.WORKER_DIED))])
        queue.requeue_dead("q")
        fill(queue, clock, "b")
        assert [(one.message.text, one.suspect) for one in queue.claim("q", 9, lease=60)] == [
            ("a", False),
            ("b", False),
        ]

    @pytest.mark.parametrize("outcome", [Done(), Dead("x"), RetryLater(0, "x")])
    def test_settled(self, queue: Store, clock: FakeClock, outcome: Done) -> None:
        """No trace of the route is left, also when an operator brings the message back."""
        fill(queue, clock, "a")
        _park(queue, "a", "x")
        (claim,) = queue.claim("q", 9, lease=60, route="x")
        queue.settle([(claim, outcome)])
        queue.requeue_dead("q")
        queue.requeue_done("q", [claim.message.id])
        assert figures(queue) == (1, 0, 0, 0)
        assert _claimed(queue) == ["a"]

    def test_a_stale_claim_sets_nothing_aside(self, queue: Store, clock: FakeClock) -> None:
        """Another worker holds the message by then."""
        fill(queue, clock, "a")
        (old,) = queue.claim("q", 1, lease=1)
        clock.advance(2)
        (new,) = queue.claim("q", 1, lease=60)
        assert list(queue.settle([(old, GiveBack(MINUTES, "x"))])) == [old]
        assert not queue.settle([(new, Done())])

    def test_within_the_limits(self, queue: Store, clock: FakeClock) -> None:
        """Limits of number and memory hold; due and set aside for the same route, it is lent once."""
        fill(queue, clock, *"abcd")
        _park(queue, "bc", "x")
        clock.advance(MINUTES)
        assert _claimed(queue, 3, most_bytes=1, route="x") == ["b"]
        assert _claimed(queue, 2, route="x") == ["a", "c"]
        assert _claimed(queue, route="x") == ["d"]

    def test_operators_see_it_as_pending(self, queue: Store, clock: FakeClock) -> None:
        """It waits neither for a retry nor for a delay; it is the oldest one, and it can be deleted."""
        fill(queue, clock, *"ab")
        _park(queue, "a", "x")
        first = queue.find("q", Selection(State.PENDING)).ids[0]
        assert queue.retrying("q") == 0
        assert queue.next_retry("q") is None
        assert queue.waiting("q", [first])[first].due_in == 0
        assert not queue.find("q", Selection(State.DELAYED)).ids
        assert [one.state for one in queue.heads("q", Selection(State.ANY)).heads] == [State.PENDING, State.PENDING]
        assert queue.stats("q").oldest_pending_at == queue.messages("q", [first])[0].received_at
        assert queue.delete_messages("q", [first], state=State.DELAYED) == 0
        assert queue.delete_messages("q", [first], state=State.PENDING) == 1
        assert _claimed(queue, route="x") == ["b"]

    def test_paused(self, queue: Store, clock: FakeClock) -> None:
        """A paused queue lends nothing, to no route."""
        fill(queue, clock, *"ab")
        _park(queue, "a", "x")
        queue.pause("q", "for a test")
        assert _claimed(queue, route="x") == []

    def test_a_claim_for_a_route_of_what_nobody_set_aside(self, queue: Store, clock: FakeClock) -> None:
        """It is a claim like any other, also of a suspect and of large messages."""
        fill(queue, clock, *"abc")
        queue.claim("q", 1, lease=1)
        clock.advance(2)
        assert _claimed(queue, 9, most_bytes=1, route="x") == ["b"]
        assert _claimed(queue, 9, route="x") == ["c"]
        (suspect,) = queue.claim("q", 9, lease=60, route="x")
        assert (suspect.message.text, suspect.suspect) == ("a", True)

    def test_how_many_wait_for_a_route(self, queue: Store, clock: FakeClock) -> None:
        """By route, each counted up to a limit; the empty route is that of messages that no route wants."""
        fill(queue, clock, *"abcdef")
        _park(queue, "abc", "x")
        _park(queue, "d", "")
        _park(queue, "e", "y", 5)
        assert queue.parked("q") == {"x": 3, "": 1, "y": 1}
        assert queue.parked("q", most=2) == {"x": 2, "": 1, "y": 1}
        clock.advance(5)
        assert queue.parked("q") == {"x": 3, "": 1}  # the other one is due for everybody
        assert _claimed(queue, 1, route="x") == ["a"]
        assert queue.parked("q") == {"x": 2, "": 1}
        with pytest.raises(UnknownQueue):
            queue.parked("another")

    def test_released(self, queue: Store, clock: FakeClock) -> None:
        """They are due for everybody, behind those that are due already; those of certain routes stay; in steps."""
        fill(queue, clock, *"abcdef")
        _park(queue, "bcd", "x")
        _park(queue, "e", "")
        clock.advance(1)
        assert queue.release("q", but=["x"], limit=9) == 1
        assert queue.parked("q") == {"x": 3}
        assert queue.release("q", limit=2) == 2
        assert queue.release("q", limit=2) == 1
        assert queue.release("q") == 0
        assert queue.stats("q").pending == 6
        assert _claimed(queue, 2) == ["a", "f"]
        assert _claimed(queue) == ["b", "c", "d", "e"]
        with pytest.raises(UnknownQueue):
            queue.release("another")

    def test_releasing_takes_nothing_from_a_worker(self, queue: Store, clock: FakeClock) -> None:
        """What was lent meanwhile, and what waits for a retry, stays as it is."""
        fill(queue, clock, *"ab")
        _park(queue, "ab", "x")
        a, b = queue.claim("q", 2, lease=60, route="x")
        queue.settle([(b, RetryLater(5, "slow"))])
        assert queue.release("q") == 0
        assert _claimed(queue) == []
        assert not queue.settle([(a, Done())])


class TestRoutesInOrder:
    def test_its_topic_waits_for_it(self, queue: Store, clock: FakeClock) -> None:
        """The later messages of its topic are not lent, to anybody; other topics go on."""
        fill(queue, clock, "1", "2", topic="s")
        fill(queue, clock, "3", "4", topic="t")
        _park(queue, "1", "x", ordered=True)
        assert _claimed(queue, ordered=True) == ["3"]
        assert _claimed(queue, ordered=True) == []
        claims = queue.claim("q", 9, lease=60, ordered=True, route="x")
        assert [one.message.text for one in claims] == ["1"]
        assert _claimed(queue, ordered=True, route="x") == []
        queue.settle([(claims[0], Done())])
        assert _claimed(queue, ordered=True, route="x") == ["2"]

    def test_it_heals_itself(self, queue: Store, clock: FakeClock) -> None:
        """After its delay everybody gets it."""
        fill(queue, clock, "1", topic="s")
        _park(queue, "1", "x", ordered=True)
        clock.advance(MINUTES)
        assert _claimed(queue, ordered=True) == ["1"]
