"""Messages and whole queues are deleted, while other connections go on."""

from collections.abc import Callable

import pytest

from contract.filling import figures, fill, payloads
from fmq.errors import QueueInUse, UnknownQueue
from fmq.message import Claim, Incoming, Receipt, Terms
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.options import Retention
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.backends import BackendUnderTest
from support.clock import FakeClock

Connect = Callable[[], Store]
_USES: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put([Incoming("q", "t", b"", 1.0)]),
    "put with a key": lambda store: store.put([Incoming("q", "t", b"", 1.0)], terms={0: Terms(key="k", key_seconds=9)}),
    "claim": lambda store: store.claim("q", 1, lease=60),
    "claim in order": lambda store: store.claim("q", 1, lease=60, ordered=True),
    "ordered": lambda store: store.ordered("q"),
    "set_order": lambda store: store.set_order("q", ordered=True),
    "stats": lambda store: store.stats("q"),
    "retrying": lambda store: store.retrying("q"),
    "last_received_at": lambda store: store.last_received_at("q"),
    "find": lambda store: store.find("q", Selection(State.PENDING)),
    "messages": lambda store: store.messages("q", [1]),
    "heads": lambda store: store.heads("q", Selection(State.ANY)),
    "detail": lambda store: store.detail("q", 1),
    "payload": lambda store: store.payload("q", 1, 0, 1),
    "dead_groups": lambda store: store.dead_groups("q"),
    "waiting": lambda store: store.waiting("q", [1]),
    "next_retry": lambda store: store.next_retry("q"),
    "dead_letters": lambda store: store.dead_letters("q"),
    "requeue_dead": lambda store: store.requeue_dead("q"),
    "requeue_done": lambda store: store.requeue_done("q", [1]),
    "purge_dead": lambda store: store.purge_dead("q"),
    "delete_messages": lambda store: store.delete_messages("q", [1]),
    "pause": lambda store: store.pause("q", "x"),
    "resume": lambda store: store.resume("q"),
    "paused": lambda store: store.paused("q"),
}
"""Every call that names a queue, but for those that create or delete one."""


def handle(store: Store, name: str = "q") -> list[Claim]:
    claims = list(store.claim(name, 100, lease=60))
    assert list(store.settle([(claim, Done()) for claim in claims])) == []
    return claims


class TestDeletedMessages:
    @pytest.fixture
    def ids(self, queue: Store, clock: FakeClock) -> dict[str, int]:
        """One message in each state; the claim of one has lapsed and nobody has seen it yet."""
        fill(queue, clock, "claimed", "done", "dead", "delayed", "tried", "lapsed", "new")
        claims = queue.claim("q", 5, lease=600)
        _, done, dead, delayed, tried = claims
        queue.settle(
            [(done, Done()), (dead, Dead("x")), (delayed, RetryLater(900, "busy")), (tried, RetryLater(6, "busy"))]
        )
        (lapsed,) = queue.claim("q", 1, lease=5)
        clock.advance(7)
        ids = {claim.message.text: claim.message.id for claim in (*claims, lapsed)}
        return {**ids, "new": lapsed.message.id + 1}

    @pytest.mark.parametrize(
        ("state", "gone"),
        [
            (State.PENDING, {"delayed", "tried", "new"}),
            (State.DELAYED, {"delayed"}),
            (State.DONE, {"done"}),
            (State.DEAD, {"dead"}),
            (State.ANY, {"delayed", "tried", "new", "done", "dead"}),
            (State.CLAIMED, set()),
        ],
    )
    def test_only_those_in_the_state(
        self, queue: Store, backend: BackendUnderTest, ids: dict[str, int], state: State, gone: set[str]
    ) -> None:
        """And never a claimed one. The counters are exact, no attempt is left behind, and the totals stay."""
        before = queue.stats("q")
        assert queue.delete_messages("q", [*ids.values(), 999], state=state) == len(gone)
        assert backend.ids("q") == {number for text, number in ids.items() if text not in gone}
        assert backend.full_count()["q"] == figures(queue)
        assert set(backend.attempts("q")) <= backend.ids("q")
        after = queue.stats("q")
        assert (after.stored, after.handled, after.died) == (before.stored, before.handled, before.died)

    def test_only_those_named(self, queue: Store, clock: FakeClock) -> None:
        """Others stay, in their order."""
        fill(queue, clock, "a", "b", "c")
        assert queue.delete_messages("q", [2]) == 1
        assert queue.delete_messages("q", []) == 0
        assert payloads(queue) == ["a", "c"]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_a_claim_outlives_it(self, queue: Store, clock: FakeClock, *, ordered: bool) -> None:
        """A worker settles what it holds, and in an ordered queue the next one of the topic comes then."""
        fill(queue, clock, "a", "b", "c")
        (claim, *_) = queue.claim("q", 1, lease=60, ordered=ordered)
        assert queue.delete_messages("q", [1, 2]) == 1
        assert list(queue.settle([(claim, Done())])) == []
        assert payloads(queue, ordered=ordered) == ["c"]


class TestADeletedQueue:
    def test_it_is_gone(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """With its done messages, for all connections. A second deletion finds nothing."""
        other = connect()
        queue.declare("other")
        fill(queue, clock, "a", name="other")
        fill(other, clock, "a", "b")
        handle(queue)
        assert other.delete_queue("q")
        assert not other.delete_queue("q")
        assert not queue.delete_queue("q")
        assert list(queue.names()) == list(other.names()) == ["other"]
        assert figures(queue, "other") == (1, 0, 0, 0)

    @pytest.mark.parametrize("what", ["new", "delayed", "tried", "claimed", "lapsed", "dead"])
    def test_not_while_it_holds_a_message(self, queue: Store, clock: FakeClock, what: str) -> None:
        """Only done messages go with it. The error counts the others, and nothing has changed."""
        if what == "delayed":
            queue.put([Incoming("q", "t", b"x", clock.wall())], terms={0: Terms(delay=60)})
        else:
            fill(queue, clock, "x")
        if what not in ("new", "delayed"):
            (claim,) = queue.claim("q", 1, lease=5)
            outcomes: dict[str, Settlement] = {"tried": RetryLater(0, "x"), "dead": Dead("x")}
            queue.settle([(claim, outcomes[what])] if what in outcomes else [])
            clock.advance(6 if what == "lapsed" else 0)
        before = figures(queue)
        with pytest.raises(QueueInUse, match=r"q has messages: 1 (pending|claimed|dead)\."):
            queue.delete_queue("q")
        assert figures(queue) == before

    @pytest.mark.parametrize("use", _USES)
    def test_others_meet_an_unknown_queue(self, connect: Connect, queue: Store, clock: FakeClock, use: str) -> None:
        """Whatever they did with it before, and then they work with the one that is created again."""
        other = connect()
        fill(other, clock, "a")
        payloads(other, ordered="in order" in use)
        clock.advance(61)
        _USES[use](other)
        clock.advance(61)
        queue.resume("q")
        while claims := queue.claim("q", 9, lease=60, ordered=bool(queue.ordered("q"))):
            queue.settle([(claim, Done()) for claim in claims])
        assert queue.delete_queue("q")
        for _ in range(2):
            with pytest.raises(UnknownQueue):
                _USES[use](other)
        queue.declare("q")
        _USES[use](other)
        fill(other, clock, "again")
        assert queue.find("q", Selection(State.PENDING)).ids

    def test_a_commit_is_whole(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Messages for a deleted queue take others, the receipt and the keys of the same commit with them."""
        other = connect()
        queue.declare("other")
        fill(other, clock, "a")
        handle(other)
        queue.delete_queue("q")
        mixed = [Incoming(name, "t", b"x", clock.wall()) for name in ("other", "q")]
        with pytest.raises(UnknownQueue):
            other.put(mixed, terms={0: Terms(key="k", key_seconds=60)}, receipt=Receipt("s", 1, b"", 1))
        assert figures(other, "other") == (0, 0, 0, 0)
        assert list(other.receipts("s")) == []
        other.declare("q")
        assert list(other.put(mixed, terms={0: Terms(key="k", key_seconds=60)})) == []
        assert figures(queue, "other") == figures(queue) == (1, 0, 0, 0)

    def test_claims_of_it_are_stale(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Those of other queues in the same call are settled and extended."""
        worker = connect()
        queue.declare("other")
        fill(queue, clock, "a", "b")
        fill(queue, clock, "c", "d", name="other")
        old = [worker.claim("q", 1, lease=5)[0], worker.claim("q", 1, lease=5)[0]]
        fresh = worker.claim("other", 2, lease=600)
        clock.advance(6)
        while claims := queue.claim("q", 9, lease=60):
            queue.settle([(claim, Done()) for claim in claims])
        assert queue.delete_queue("q")
        assert [claim.message.text for claim in worker.extend([*old, *fresh], lease=60)] == ["c", "d"]
        stale = worker.settle([(old[0], Done()), (fresh[0], Done()), (old[1], Dead("x")), (fresh[1], GiveBack())])
        assert list(stale) == old
        assert figures(queue, "other") == (1, 0, 1, 0)

    def test_ids_are_never_given_again(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """An imported message may have the date of the old one, and handlers know messages by queue, id and date."""
        other = connect()
        numbers: list[int] = []
        for store in (queue, other, connect()):
            store.declare("q")
            fill(other, clock, "a", "b")
            numbers += [claim.message.id for claim in handle(store)]
            assert store.delete_queue("q")
            assert store.delete_queue("q") is False
        queue.declare("q")  # and nothing comes
        queue.delete_queue("q")
        queue.declare("q")
        fill(other, clock, "a")
        numbers += [claim.message.id for claim in queue.claim("q", 1, lease=60)]
        assert numbers == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.parametrize("names", [("a/b", "a_b"), ("a_b", "a/b")])
    def test_no_other_queue_takes_its_place(self, connect: Connect, queue: Store, names: tuple[str, str]) -> None:
        """A connection that knew a deleted queue never reaches one with a similar name, which was created since."""
        old, new = names
        other = connect()
        other.declare(old)
        other.put([Incoming(old, "t", b"x", 1.0)])
        handle(other, old)
        queue.delete_queue(old)
        queue.declare(new)
        queue.put([Incoming(new, "t", b"y", 1.0)])
        for call in (
            lambda: other.put([Incoming(old, "t", b"z", 1.0)]),
            lambda: other.claim(old, 1, lease=60),
            lambda: other.find(old, Selection(State.ANY)),
        ):
            with pytest.raises(UnknownQueue):
                call()
        queue.declare(old)
        other.put([Incoming(old, "t", b"z", 1.0)])
        assert [claim.message.text for claim in other.claim(new, 9, lease=60)] == ["y"]
        assert [claim.message.text for claim in queue.claim(old, 9, lease=60)] == ["z"]

    def test_it_returns_as_a_new_one(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Not paused, in no order yet, with counters at 0."""
        other = connect()
        fill(queue, clock, "a")
        (claim,) = other.claim("q", 1, lease=60, ordered=True)
        other.settle([(claim, Done())])
        queue.pause("q", "x")
        queue.delete_queue("q")
        queue.declare("q")
        assert other.paused("q") is None
        assert other.ordered("q") is None
        stats = other.stats("q")
        assert (stats.stored, stats.pending, stats.done, stats.handled) == (0, 0, 0, 0)
        fill(queue, clock, "b")
        assert payloads(other) == ["b"]

    def test_retention_goes_on(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Upkeep by a connection that knew the queue: with others, without it, and with the one that returned."""
        upkeep = connect()
        retention = Retention(done_seconds=60)
        queue.declare("other")

        def round_of(*names: str) -> None:
            for name in names:
                fill(queue, clock, "a", "b", name=name)
                handle(queue, name)
            clock.advance(100)
            while upkeep.maintain(retention, limit=1):
                pass
            assert {name: figures(queue, name) for name in queue.names()} == dict.fromkeys(queue.names(), (0, 0, 0, 0))

        round_of("other", "q")
        queue.delete_queue("q")
        round_of("other")
        queue.declare("q")
        round_of("other", "q")

    def test_keys_stay(self, queue: Store, clock: FakeClock) -> None:
        """A message that was handled before the deletion and comes once more is still a duplicate."""
        terms = {0: Terms(key="k", key_seconds=60)}
        message = [Incoming("q", "t", b"x", clock.wall())]
        assert list(queue.put(message, terms=terms)) == []
        handle(queue)
        queue.delete_queue("q")
        queue.declare("q")
        assert list(queue.put(message, terms=terms)) == [0]
