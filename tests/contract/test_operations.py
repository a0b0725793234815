"""What every backend of Store must do for operators: pause, look, replay."""

from collections.abc import Callable

import pytest

from fmq.errors import UnknownQueue
from fmq.message import Incoming, Waiting
from fmq.outcome import Dead, Done, RetryLater, Settlement
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import frozen
from support.clock import FakeClock

Connect = Callable[[], Store]


def fill(queue: Store, clock: FakeClock, *topics: str) -> None:
    queue.put([Incoming("q", topic, topic.encode(), clock.wall()) for topic in topics])


def figures(queue: Store) -> tuple[int, int, int, int]:
    stats = queue.stats("q")
    return stats.pending, stats.claimed, stats.done, stats.dead


def walk(queue: Store, which: Selection, *, limit: int = 1_000, within: int = 10_000) -> list[int]:
    """All ids that are found, step by step."""
    ids: list[int] = []
    after: int | None = 0
    while after is not None:
        found = queue.find("q", which, after_id=after, limit=limit, within=within)
        assert len(found.ids) <= limit
        assert found.looked_at <= within
        ids += found.ids
        after = found.after_id
    return ids


class TestWaiting:
    def test_when_and_why(self, queue: Store, clock: FakeClock) -> None:
        """Of pending messages only: when each is due, and why its last attempt failed; and which is tried next."""
        fill(queue, clock, "a", "b", "c", "d")
        assert queue.next_retry("q") is None
        first, second, third = queue.claim("q", 3, lease=60)
        queue.settle([(first, RetryLater(30, "busy")), (second, RetryLater(5, "down\nat x")), (third, Dead("no"))])
        waiting = queue.waiting("q", [1, 2, 3, 4, 5])
        assert {number: (round(one.due_in, 3), one.reason) for number, one in waiting.items()} == {
            1: (30.0, "busy"),
            2: (5.0, "down\nat x"),
            4: (0.0, ""),
        }
        assert queue.next_retry("q") == 2
        clock.advance(6)
        assert queue.waiting("q", [1, 2])[2] == Waiting(0.0, "down\nat x")
        assert queue.next_retry("q") == 1
        (claim, *_) = queue.claim("q", 1, lease=60)
        assert claim.message.id not in queue.waiting("q", [1, 2, 4])


class TestPause:
    @pytest.mark.parametrize("ordered", [False, True])
    def test_nothing_is_lent(self, connect: Connect, queue: Store, clock: FakeClock, *, ordered: bool) -> None:
        """No connection gets a message of a paused queue, also not of a lease that ran out; others are not concerned."""
        fill(queue, clock, "a", "b")
        queue.declare("other")
        queue.put([Incoming("other", "t", b"", clock.wall())])
        other = connect()
        assert len(queue.claim("q", 1, lease=10, ordered=ordered)) == 1
        assert queue.pause("q", "the target is down")
        clock.advance(11)
        for connection in (queue, other, connect()):
            assert connection.claim("q", 10, lease=10, ordered=ordered) == []
        assert len(other.claim("other", 10, lease=10, ordered=ordered)) == 1
        assert other.resume("q")
        assert len(queue.claim("q", 10, lease=10, ordered=ordered)) == 1  # the one whose lease ran out, alone
        assert len(queue.claim("q", 10, lease=10, ordered=ordered)) == 1

    def test_what_is_lent_is_settled(self, queue: Store, clock: FakeClock) -> None:
        """A pause takes no claim back, and messages still come in."""
        fill(queue, clock, "a")
        (claim,) = queue.claim("q", 1, lease=60)
        queue.pause("q", "x")
        fill(queue, clock, "b")
        assert list(queue.extend([claim], lease=60)) != []
        assert list(queue.settle([(claim, Done())])) == []
        assert figures(queue) == (1, 0, 1, 0)

    def test_the_first_pause_stands(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """A second one changes neither reason nor moment, and everybody sees it, also after a restart."""
        assert queue.paused("q") is None
        since = clock.wall()
        assert queue.pause("q", "by hand")
        clock.advance(5)
        assert not queue.pause("q", "by a rule")
        queue.close()
        other = connect()
        pause = other.paused("q")
        assert pause is not None
        assert (pause.since, pause.reason) == (since, "by hand")
        assert other.stats("q").paused == pause
        assert other.resume("q")
        assert not other.resume("q")
        assert other.paused("q") is other.stats("q").paused is None

    def test_an_unknown_queue(self, queue: Store) -> None:
        """An error, not a queue that was never paused."""
        for call in (lambda: queue.pause("x", "y"), lambda: queue.resume("x"), lambda: queue.paused("x")):
            with pytest.raises(UnknownQueue):
                call()


class TestFind:
    @pytest.fixture
    def ids(self, queue: Store, clock: FakeClock) -> dict[str, int]:
        """Ids by topic: two done, two dead, two that wait for a retry, one claimed, two never lent; 10 s between the settlements."""
        fill(queue, clock, "done/1", "done/2", "dead/1", "dead/2", "retry/1", "retry/2", "claimed", "new/1", "new/2")
        claims = queue.claim("q", 7, lease=600)
        outcomes: list[Settlement] = [Done(), Done(), Dead("Timeout of host A"), Dead("refused")]
        outcomes += [RetryLater(0, "TIMEOUT"), RetryLater(900, "x")]
        for claim, outcome in zip(claims, outcomes, strict=False):
            clock.advance(10)
            queue.settle([(claim, outcome)])
        return {claim.message.topic: claim.message.id for claim in claims} | {
            f"new/{n}": claims[-1].message.id + n for n in (1, 2)
        }

    @pytest.mark.parametrize("step", [1, 2, 100])
    def test_by_state(self, queue: Store, ids: dict[str, int], step: int) -> None:
        """Each message once, by id, whatever the size of a step; what is claimed is in none of the states."""
        expected = {
            State.DONE: ["done/1", "done/2"],
            State.DEAD: ["dead/1", "dead/2"],
            State.PENDING: ["retry/1", "retry/2", "new/1", "new/2"],
        }
        for state, topics in expected.items():
            wanted = [ids[topic] for topic in topics]
            assert walk(queue, Selection(state), limit=step) == wanted
            assert walk(queue, Selection(state), within=step) == wanted

    @pytest.mark.parametrize(
        ("which", "topics"),
        [
            (Selection(State.DEAD, topic="+/2"), ["dead/2"]),
            (Selection(State.DEAD, topic="#"), ["dead/1", "dead/2"]),
            (Selection(State.DEAD, reason="timeout"), ["dead/1"]),
            (Selection(State.DEAD, reason="%"), []),
            (Selection(State.DEAD, reason="refused", topic="dead/1"), []),
            (Selection(State.PENDING, topic="new/+"), ["new/1", "new/2"]),
            (Selection(State.PENDING, reason="timeout"), ["retry/1"]),
            (Selection(State.DONE, topic="dead/#"), []),
        ],
    )
    @pytest.mark.parametrize("step", [1, 100])
    def test_filters(self, queue: Store, ids: dict[str, int], which: Selection, topics: list[str], step: int) -> None:
        """By topic filter and by a part of the reason, which is text and no pattern."""
        assert walk(queue, which, within=step) == [ids[topic] for topic in topics]

    def test_by_time(self, queue: Store, ids: dict[str, int], clock: FakeClock) -> None:
        """Since when a message is done or dead, or was received; the first moment is within, the last is not."""
        start = clock.wall() - 60
        assert walk(queue, Selection(State.DONE, since=start + 20)) == [ids["done/2"]]
        assert walk(queue, Selection(State.DEAD, since=start + 30, until=start + 40)) == [ids["dead/1"]]
        assert walk(queue, Selection(State.PENDING, until=start)) == []
        assert len(walk(queue, Selection(State.PENDING, until=start + 1))) == 4

    def test_no_topic_filter(self) -> None:
        """What no broker would take is refused."""
        with pytest.raises(ValueError, match="# before its last level"):
            Selection(State.DEAD, topic="a/#/b")

    def test_reading(self, queue: Store, ids: dict[str, int]) -> None:
        """Messages of any state by their ids, and dead letters by theirs; ids of nothing are left out; nothing changes."""
        before = figures(queue)
        chosen = [ids["new/1"], ids["dead/1"], ids["done/1"], 999]
        assert [m.topic for m in queue.messages("q", chosen)] == ["done/1", "dead/1", "new/1"]
        (letter,) = queue.dead_letters("q", chosen)
        assert (letter.message.topic, letter.reason) == ("dead/1", "Timeout of host A")
        assert figures(queue) == before


class TestReplay:
    def test_what_is_done_is_handled_again(self, queue: Store, clock: FakeClock) -> None:
        """With no attempts counted; what is pending, claimed or dead is not touched, however it is named."""
        fill(queue, clock, "a", "b", "c", "d")
        first, second, third = queue.claim("q", 3, lease=60)
        queue.settle([(first, RetryLater(0, "again")), (second, Dead("x"))])
        (again,) = queue.claim("q", 1, lease=60)
        queue.settle([(again, Done())])
        assert figures(queue) == (1, 1, 1, 1)
        assert queue.requeue_done("q", [1, 2, 3, 4, 99]) == 1
        assert figures(queue) == (2, 1, 0, 1)
        claims = {claim.message.topic: claim.attempt for claim in queue.claim("q", 10, lease=60)}
        assert claims == {"a": 1, "d": 1}
        assert list(queue.settle([(third, Done())])) == []


@pytest.mark.parametrize("jump", [-3_600, 0, 3_600])
@pytest.mark.parametrize("state", [State.ANY, State.PENDING, State.DEAD, State.DONE])
def test_a_frozen_selection(queue: Store, clock: FakeClock, state: State, jump: float) -> None:
    """It has all that are in the state, although the clock was set meanwhile, and none that come into it later.

    If it was set back, it may also have dead letters that come later: their times are among those that are there.
    """

    def settle(count: int) -> None:
        fill(queue, clock, *"abc")
        outcomes: dict[State, Settlement] = {State.DEAD: Dead("no"), State.DONE: Done()}
        if state in outcomes:
            queue.settle([(claim, outcomes[state]) for claim in queue.claim("q", count, lease=60)])

    settle(3)
    clock.advance(10)
    clock.jump(jump)
    which = frozen(queue, "q", Selection(state), clock)
    there = walk(queue, Selection(state))
    clock.advance(10)
    settle(3)
    found = walk(queue, which, limit=2, within=2)
    assert found[:3] == there
    assert len(there) == 3
    assert len(found) == 3 or (jump < 0 and state is State.DEAD)


def test_a_frozen_selection_of_nothing(queue: Store, clock: FakeClock) -> None:
    """What comes later is not in it."""
    which = [frozen(queue, "q", Selection(state), clock) for state in State]
    clock.advance(1)
    fill(queue, clock, "a")
    assert [walk(queue, one) for one in which] == [[]] * len(which)
