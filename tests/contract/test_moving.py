"""Moving messages from one store to another, of the same or of another kind."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from contract.filling import figures, fill
from fmq.errors import QueueError, StoreUnavailable
from fmq.message import Incoming, MessageId, Properties, Receipt, Terms
from fmq.outcome import Cause, Dead, Done, GiveBack, RetryLater
from fmq.store.records import StoredMessage
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.backends import BACKENDS, EACH_STORE, BackendUnderTest
from support.clock import FakeClock

_PROPERTIES = Properties(1, 60, "text/plain", "reply/to", b"\x00\xff", (("a", "1"), ("é", "\ud800")))
_SESSION = "moving"
_LARGE = 2**40


@pytest.fixture(params=EACH_STORE)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Another store, with the queues ``q`` and ``p``, at another time of its own."""
    (tmp_path / "other").mkdir()
    other: BackendUnderTest = BACKENDS[request.param](tmp_path / "other")
    other.clock.advance(500)
    with ExitStack() as opened:
        store = opened.enter_context(other.open())
        store.declare("q")
        store.declare("p")
        yield store


def receipt(number: int = 1) -> Callable[[Sequence[StoredMessage]], Receipt]:
    return lambda found: Receipt(_SESSION, number, f"{len(found)}".encode(), number)


def ids(store: Store, state: State, name: str = "q") -> Sequence[MessageId]:
    return store.find(name, Selection(state)).ids


def everything(store: Store) -> list[StoredMessage]:
    return list(store.stored("q", ids(store, State.ANY)))


def fill_all_states(store: Store, clock: FakeClock) -> None:
    """One message in each state, by topic, a second apart; a lapsed claim among them."""
    names = ("done", "dead", "retry", "back", "lapsed", "held", "new")
    for name in names:
        store.put([Incoming("q", name, name.encode() + b"\xff", clock.wall(), 2, retain=True, properties=_PROPERTIES)])
        clock.advance(1)
    claims = {one.message.topic: one for one in store.claim("q", 6, lease=10)}
    store.settle(
        [
            (claims["done"], Done()),
            (claims["dead"], Dead("why not", Cause.REJECTED)),
            (claims["retry"], RetryLater(5, "first", Cause.TIMEOUT)),
            (claims["back"], GiveBack()),
        ],
        worker="w/1",
    )
    store.extend([claims["held"]], lease=1_000)
    clock.advance(60)


def content(one: StoredMessage) -> tuple[object, ...]:
    """What has to be the same in every store. Times in milliseconds, since a store may keep them in its own time."""
    times = tuple(None if at is None else round(at, 3) for at in (one.stored_at, one.due_at, one.settled_at))
    return one.message._replace(id=0), one.state, times, one.reason, tuple(one.attempts)


class TestStored:
    def test_all_that_is_known(self, queue: Store, clock: FakeClock) -> None:
        """State, times, reasons and attempts of each message, also of those that are claimed."""
        began = clock.wall()
        fill_all_states(queue, clock)
        found = {one.message.topic: one for one in everything(queue)}
        assert {name: one.state for name, one in found.items()} == {
            "done": State.DONE,
            "dead": State.DEAD,
            "retry": State.PENDING,
            "back": State.PENDING,
            "lapsed": State.CLAIMED,
            "held": State.CLAIMED,
            "new": State.PENDING,
        }
        assert found["dead"].reason == "why not"
        assert found["dead"].settled_at == pytest.approx(began + 7)
        assert found["done"].settled_at == pytest.approx(began + 7)
        assert found["new"].stored_at == pytest.approx(began + 6)
        assert found["new"].due_at == pytest.approx(began + 6)
        assert found["back"].due_at == pytest.approx(began + 3)
        (attempt,) = found["retry"].attempts
        assert (attempt.number, attempt.cause, attempt.reason, attempt.worker) == (1, "timeout", "first", "w/1")
        assert found["retry"].message.retry_count == 1
        assert found["retry"].message.properties == _PROPERTIES

    def test_large_ones_come_alone(self, queue: Store, clock: FakeClock) -> None:
        """``most_bytes`` bounds what is read at once."""
        queue.put([Incoming("q", "t", b"x" * 1_000, clock.wall())] * 3)
        assert len(queue.stored("q", ids(queue, State.ANY), most_bytes=2_500)) == 2
        assert len(queue.stored("q", ids(queue, State.ANY), most_bytes=1)) == 1


class TestTakeAndPlace:
    def test_nothing_changes_on_the_way(
        self, backend: BackendUnderTest, queue: Store, clock: FakeClock, target: Store
    ) -> None:
        """What the target says of a message is what the source said; the source has neither it nor a claim of it."""
        fill_all_states(queue, clock)
        before = everything(queue)
        for number, state in enumerate((State.PENDING, State.CLAIMED, State.DONE, State.DEAD), 1):
            taken = queue.take("q", ids(queue, state), state=state, most_bytes=_LARGE, keep=receipt(number))
            assert None not in target.place(taken, receipt=Receipt(_SESSION, number, b"", number))
        (held,) = everything(queue)
        assert held.message.topic == "held"
        assert figures(queue) == tuple(backend.full_count()["q"]) == (0, 1, 0, 0)
        assert figures(target) == (3, 1, 1, 1)
        expected = [content(one) for one in before if one.message.topic not in ("held", "lapsed")]
        arrived = [content(one) for one in everything(target) if one.message.topic != "lapsed"]
        assert sorted(map(str, arrived)) == sorted(map(str, expected))

    def test_what_was_placed_is_lent(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """In the order in which it was due, before what came later; a lapsed claim alone, as a suspect, its attempt counted."""
        fill_all_states(queue, clock)
        target.put([Incoming("q", "later", b"", clock.wall())])
        for number, state in enumerate((State.PENDING, State.CLAIMED), 1):
            taken = queue.take("q", ids(queue, state), state=state, most_bytes=_LARGE, keep=receipt(number))
            target.place(taken)
        lent = []
        while claims := target.claim("q", 10, lease=60):
            lent.append([one.message.topic for one in claims])
            if claims[0].message.topic == "lapsed":
                assert (len(claims), claims[0].suspect, claims[0].attempt) == (1, True, 2)
            target.settle([(one, Done()) for one in claims])
        assert sorted(name for group in lent for name in group) == ["back", "lapsed", "later", "new", "retry"]
        assert figures(target) == (0, 0, 5, 0)

    def test_only_what_is_in_the_state(self, queue: Store, clock: FakeClock) -> None:
        """A message that was settled or claimed since it was found stays."""
        fill(queue, clock, "1", "2", "3")
        found = ids(queue, State.PENDING)
        first, _ = queue.claim("q", 2, lease=60)
        queue.settle([(first, Done())])
        taken = queue.take("q", found, state=State.PENDING, most_bytes=_LARGE, keep=receipt())
        assert [one.message.text for one in taken] == ["3"]
        assert queue.receipts(_SESSION) == [(1, b"1")]
        assert not queue.take("q", found, state=State.PENDING, most_bytes=_LARGE, keep=receipt(2))
        assert queue.receipts(_SESSION) == [(1, b"1")]

    def test_a_lapsed_claim_that_is_settled_late(self, queue: Store, clock: FakeClock) -> None:
        """The settlement is stale."""
        fill(queue, clock, "1")
        (claim,) = queue.claim("q", 1, lease=10)
        clock.advance(11)
        queue.take("q", ids(queue, State.CLAIMED), state=State.CLAIMED, most_bytes=_LARGE, keep=receipt())
        assert queue.settle([(claim, Done())]) == [claim]
        assert figures(queue) == (0, 0, 0, 0)

    def test_two_take_at_once(self, connect: Callable[[], Store], queue: Store, clock: FakeClock) -> None:
        """A receipt that does not follow the last one is refused, and the messages stay."""
        fill(queue, clock, "1", "2")
        one, two = ids(queue, State.PENDING)
        queue.take("q", [one], state=State.PENDING, most_bytes=_LARGE, keep=receipt(1))
        for number in (1, 3):
            with pytest.raises(QueueError, match="another one is at work"):
                connect().take("q", [two], state=State.PENDING, most_bytes=_LARGE, keep=receipt(number))
        assert figures(queue) == (1, 0, 0, 0)

    def test_a_failure_takes_nothing(self, queue: Store, clock: FakeClock) -> None:
        """All of it or nothing."""
        fill(queue, clock, "1")

        def fail(_: object) -> Receipt:
            raise StoreUnavailable

        with pytest.raises(StoreUnavailable):
            queue.take("q", ids(queue, State.PENDING), state=State.PENDING, most_bytes=_LARGE, keep=fail)
        assert figures(queue) == (1, 0, 0, 0)
        assert queue.receipts(_SESSION) == []

    def test_while_others_claim(
        self, connect: Callable[[], Store], queue: Store, clock: FakeClock, target: Store
    ) -> None:
        """Each message is handled in the source or arrives in the target, and none in both."""
        fill(queue, clock, *map(str, range(400)))
        handled: list[list[str]] = [[], []]
        workers = [threading.Thread(target=_handle, args=(connect(), found)) for found in handled]
        number = 0
        arrived: list[str] = []
        while some := ids(queue, State.PENDING)[-7:]:  # from the other end, so that both get many
            taken = queue.take("q", some, state=State.PENDING, most_bytes=_LARGE, keep=receipt(number + 1))
            if taken:
                number += 1
                arrived += [one.message.text for one in taken]
                target.place(taken)
            if workers[0].ident is None:  # not started yet
                for one in workers:
                    one.start()
        for one in workers:
            one.join(60)
        assert sorted([*arrived, *handled[0], *handled[1]], key=int) == list(map(str, range(400)))
        assert figures(target)[0] == len(arrived) > 0
        assert figures(queue) == (0, 0, len(handled[0]) + len(handled[1]), 0)


def _handle(store: Store, handled: list[str]) -> None:
    while claims := store.claim("q", 3, lease=60):
        assert store.settle([(one, Done()) for one in claims]) == []
        handled += [one.message.text for one in claims]


class TestPlace:
    def test_placed_again(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """A receipt that is known, or one that an older call sends late, stores nothing."""
        fill(queue, clock, "1", "2")
        one, two = everything(queue)
        assert target.place([one], receipt=Receipt(_SESSION, 1, b"", 1)) != [None]
        assert target.place([one], receipt=Receipt(_SESSION, 1, b"", 1)) == [None]
        assert target.place([two], receipt=Receipt(_SESSION, 2, b"", 2)) != [None]
        assert target.place([one], receipt=Receipt(_SESSION, 1, b"", 1)) == [None]
        assert figures(target) == (2, 0, 0, 0)
        assert [number for number, _ in target.receipts(_SESSION)] == [2]

    def test_known_by_key(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """A message whose key is known is not stored, by queue and for the time of the key."""
        fill(queue, clock, "1", "2")
        found = everything(queue)
        terms = {0: Terms("a", 60), 1: Terms("b", 60)}
        assert None not in target.place(found, terms=terms)
        assert target.place(found, terms=terms) == [None, None]
        other = [replace(one, message=one.message._replace(queue="p")) for one in found]
        assert None not in target.place([*other[:1], *found], terms={0: Terms("a", 60), 1: Terms("b", 60)})[:1]
        assert figures(target, "p") == (1, 0, 0, 0)
        assert figures(target) == (3, 0, 0, 0)  # the last one has no key

    def test_ids_are_kept(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """With room left for them, ordered claims lend them before what came first; an id that is in use is refused."""
        fill(queue, clock, "1", "2")
        target.skip_ids("q", queue.last_id("q") + 10)
        target.put([Incoming("q", "t", b"3", clock.wall())])
        found = everything(queue)
        assert target.place(found, keep_ids=True) == [one.message.id for one in found]
        lent = []
        while claims := target.claim("q", 5, lease=60, ordered=True):
            lent += [one.message.text for one in claims]
            target.settle([(one, Done()) for one in claims])
        assert lent == ["1", "2", "3"]
        assert target.last_id("q") > queue.last_id("q") + 10
        with pytest.raises(QueueError, match="has a message 1 already"):
            target.place(found, keep_ids=True)
        assert figures(target) == (0, 0, 3, 0)

    def test_totals(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """Placed messages count as stored, not as handled, failed or dead here."""
        fill_all_states(queue, clock)
        target.place([one for one in everything(queue) if one.message.topic != "held"])
        stats = target.stats("q")
        assert (stats.stored, stats.handled, stats.failed, stats.died) == (6, 0, 0, 0)


class TestNotesAndKeys:
    def test_notes_by_their_beginning(self, queue: Store) -> None:
        """Only those; also ones that look like patterns."""
        for key in ("a:1", "a:%", "b:1", "A:1"):
            queue.remember(key, f"value of {key}")
        assert queue.notes("a:") == {"a:1": "value of a:1", "a:%": "value of a:%"}

    def test_keys_that_are_remembered(self, queue: Store, clock: FakeClock, target: Store) -> None:
        """In steps; for the rest of their time; a store that needs their text says how many it can't keep."""
        keys = [f"key {number}" for number in range(5)]
        queue.put(
            [Incoming("q", "t", b"", clock.wall())] * 6,
            terms={number: Terms(key, 100) for number, key in enumerate(keys)} | {5: Terms("over", 10)},
        )
        clock.advance(40)
        first = queue.keys("q", limit=3)
        rest = queue.keys("q", after=first[-1], limit=3)
        assert (len(first), len(rest), queue.keys("q", after=rest[-1])) == (3, 2, [])
        assert {round(one.seconds) for one in (*first, *rest)} == {60}
        left = target.remember_keys("q", [*first, *rest])
        again = target.put(
            [Incoming("q", "t", b"", 1.0)] * 5, terms={number: Terms(key, 100) for number, key in enumerate(keys)}
        )
        assert len(again) == 5 - left
        assert left == (5 if first[0].text is None and not _keeps_digests(target) else 0)


def _keeps_digests(store: Store) -> bool:
    return type(store).__name__ == "PostgresStore"
