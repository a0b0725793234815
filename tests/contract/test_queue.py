"""What every backend of Queue must do."""

import threading
from collections.abc import Callable

import pytest

from contract.filling import figures, fill, payloads
from fmq.errors import UnknownQueue
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.queue import Queue, Retention
from support.clock import FakeClock

Connect = Callable[[], Queue]


class TestPut:
    def test_a_message_comes_out_as_it_went_in(self, queue: Queue, clock: FakeClock) -> None:
        """Topic, payload, flags and properties survive; any bytes are a payload."""
        properties = Properties(1, 60, "text/plain", "reply/to", b"\x00\xff", (("a", "1"), ("a", "2"), ("é", "\ud800")))
        queue.put(
            [Incoming("q", "a topic/ü/'\"", b"\x00\xff\xfe", clock.wall(), 0, retain=True, properties=properties)]
        )
        (claim,) = queue.claim("q", 1, lease=60)
        message = claim.message
        assert (message.topic, message.payload, message.qos, message.retain) == (
            "a topic/ü/'\"",
            b"\x00\xff\xfe",
            0,
            True,
        )
        assert message.properties == properties
        assert (message.queue, message.retry_count, claim.attempt, message.received_at) == ("q", 0, 1, clock.wall())

    def test_sizes(self, queue: Queue, clock: FakeClock) -> None:
        """Nothing is too small or too large: an empty payload, 10 MiB, a topic of 65,535 bytes."""
        queue.put([Incoming("q", "t", b"", clock.wall()), Incoming("q", "é" * 32_767, b"x" * 10_485_760, clock.wall())])
        empty, large = queue.claim("q", 2, lease=60)
        assert empty.message.payload == b""
        assert (len(large.message.payload), len(large.message.topic)) == (10_485_760, 32_767)

    def test_all_or_nothing(self, queue: Queue, clock: FakeClock) -> None:
        """One unknown queue in a batch keeps the whole batch out."""
        with pytest.raises(UnknownQueue):
            queue.put([Incoming("q", "t", b"1", clock.wall()), Incoming("nowhere", "t", b"2", clock.wall())])
        assert figures(queue) == (0, 0, 0, 0)

    def test_several_queues_in_one_commit(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """A batch may hold messages of several queues, and another connection sees each in its own."""
        queue.declare("p")
        queue.put([Incoming("q", "t", b"1", clock.wall()), Incoming("p", "t", b"2", clock.wall())])
        other = connect()
        assert (other.names(), other.stats("q").pending, other.stats("p").pending) == (["p", "q"], 1, 1)

    def test_colliding_names_stay_apart(self, queue: Queue, clock: FakeClock) -> None:
        """Queues whose names look alike to a file system or a database never share messages."""
        names = ["a/b", "a_b", "A/b", "a+b", "a b", "#", "+", "é" * 300, "é" * 301, 'x"; DROP TABLE q; --']
        for name in names:
            queue.declare(name)
            queue.declare(name)
            fill(queue, clock, name, name=name)
        assert sorted(queue.names()) == sorted([*names, "q"])
        for name in names:
            assert [claim.message.text for claim in queue.claim(name, 9, lease=60)] == [name]


class TestClaim:
    def test_in_order_of_arrival_and_only_once(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """Two workers get different messages, the oldest first, and never more than they asked for."""
        fill(queue, clock, *"abcde")
        other = connect()
        assert payloads(queue, 2) == ["a", "b"]
        assert payloads(other, 2) == ["c", "d"]
        assert payloads(queue, 2) == ["e"]
        assert payloads(other) == []

    @pytest.mark.parametrize("ordered", [False, True])
    def test_a_limit_in_bytes(self, queue: Queue, clock: FakeClock, *, ordered: bool) -> None:
        """A claim stops before the limit is passed, and a message larger than it comes alone. A topic of one letter counts 4."""
        for topic, size in zip("abcde", (4, 4, 4, 50, 1), strict=True):
            fill(queue, clock, "x" * size, topic=topic)
        sizes = []
        while claims := queue.claim("q", 10, lease=60, ordered=ordered, most_bytes=16):
            sizes.append([len(claim.message.payload) for claim in claims])
        assert sizes == [[4, 4], [4], [50], [1]]

    @pytest.mark.parametrize("ordered", [False, True])
    @pytest.mark.parametrize("what", ["payload", "topic", "properties", "content type"])
    def test_the_limit_holds_for_everything(self, queue: Queue, what: str, *, ordered: bool) -> None:
        """Of large messages, each comes alone, whole and in its turn, with the small ones before and behind together.

        Also when they were lent before.
        """
        users = tuple((f"name {number}", "value") for number in range(5_000)) if what == "properties" else ()
        properties = Properties(user_properties=users, content_type="c" * 60_000 if what == "content type" else None)
        small = Incoming("q", "t", b"p", 1.0)
        large = Incoming(
            "q",
            "t" * (65_000 if what == "topic" else 1),
            b"p" * (200_000 if what == "payload" else 1),
            1.0,
            properties=properties,
        )
        queue.declare("q")
        for number in range(8):
            one = large if number in (3, 4) else small
            queue.put([one._replace(topic=f"{number}{one.topic}")])
        for _ in range(2):
            found = []
            while claims := queue.claim("q", 10, lease=60, ordered=ordered, most_bytes=100_000):
                found.append(claims)
            assert [[claim.message.id for claim in claims] for claims in found] == [[1, 2, 3], [4], [5], [6, 7, 8]]
            messages = [claim.message for claims in found for claim in claims]
            assert [len(message.payload) for message in messages[2:6]] == [1, *[len(large.payload)] * 2, 1]
            assert [message.properties for message in messages[3:5]] == [properties] * 2
            queue.settle([(claim, GiveBack()) for claims in found for claim in claims])

    def test_unknown_queue(self, queue: Queue) -> None:
        """A queue that nobody declared is an error, not an empty one."""
        for call in (lambda: queue.claim("x", 1, lease=1), lambda: queue.stats("x"), lambda: queue.dead_letters("x")):
            with pytest.raises(UnknownQueue):
                call()

    def test_a_lease_that_ran_out(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """The message is lent again, alone and suspect, with the lost attempt counted; the old claim is stale."""
        fill(queue, clock, "a", "b", "c")
        lost = queue.claim("q", 2, lease=10)
        clock.advance(10.1)
        assert payloads(queue, 10) == ["c"]  # due before the leases ended
        (again,) = queue.claim("q", 10, lease=10)
        assert (again.message.text, again.attempt, again.suspect) == ("a", 2, True)
        other = connect()
        assert list(other.settle([(lost[0], Done())])) == [lost[0]]
        assert list(other.settle([(again, Done())])) == []
        assert list(queue.settle([(lost[1], Done())])) == []  # nobody has borrowed b again: it still holds
        assert figures(queue) == (0, 1, 2, 0)

    def test_extending(self, queue: Queue, clock: FakeClock) -> None:
        """An extended lease holds from now on; one that somebody else has taken over can't be extended."""
        fill(queue, clock, "a")
        claims = queue.claim("q", 1, lease=10)
        clock.advance(9)
        extended = queue.extend(claims, lease=10)
        clock.advance(9)
        assert payloads(queue) == []
        assert extended[0].lease_until > claims[0].lease_until
        clock.advance(2)
        assert payloads(queue) == ["a"]
        assert list(queue.extend(extended, lease=10)) == []

    def test_a_wall_clock_that_jumps(self, queue: Queue, clock: FakeClock) -> None:
        """Leases and delays neither end early nor last longer when somebody sets the clock."""
        fill(queue, clock, "a", "b")
        held = queue.claim("q", 1, lease=60)
        delayed = queue.claim("q", 1, lease=60)
        queue.settle([(delayed[0], RetryLater(30))])
        clock.jump(3600)
        assert payloads(queue) == []
        clock.jump(-7200)
        clock.advance(31)
        assert payloads(queue) == ["b"]
        assert list(queue.settle([(held[0], Done())])) == []

    def test_a_reboot(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """After a reboot nobody holds anything: all leases are over, whatever the clocks say."""
        fill(queue, clock, "a")
        queue.claim("q", 1, lease=3600)
        queue.close()
        clock.reboot()
        clock.jump(-600)
        assert payloads(connect()) == ["a"]

    def test_threads_never_share_a_message(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """Several workers at once: every message is lent exactly once while its lease lasts."""
        fill(queue, clock, *(str(number) for number in range(400)))
        taken: list[str] = []

        def work(mine: Queue) -> None:
            while claims := mine.claim("q", 7, lease=60):
                taken.extend(claim.message.text for claim in claims)
                mine.settle([(claim, Done()) for claim in claims])

        threads = [threading.Thread(target=work, args=(connect(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken, key=int) == [str(number) for number in range(400)]
        assert figures(queue) == (0, 0, 400, 0)


class TestOrdered:
    def test_one_message_of_a_topic_at_a_time(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """While the head of a topic is out, nothing of that topic is lent to anybody; other topics go on."""
        for topic in ("x", "y"):
            fill(queue, clock, f"{topic}1", f"{topic}2", topic=topic)
        first = queue.claim("q", 10, lease=60, ordered=True)
        assert [claim.message.text for claim in first] == ["x1", "y1"]
        other = connect()
        assert payloads(other, ordered=True) == []
        queue.settle([(first[0], Done())])
        assert payloads(other, ordered=True) == ["x2"]

    def test_later_ones_wait_behind_a_retry(self, queue: Queue, clock: FakeClock) -> None:
        """A head that waits for its retry holds its topic back, a dead one does not."""
        fill(queue, clock, "x1", "x2", topic="x")
        (head,) = queue.claim("q", 10, lease=60, ordered=True)
        queue.settle([(head, RetryLater(5))])
        assert payloads(queue, ordered=True) == []
        clock.advance(5)
        (head,) = queue.claim("q", 10, lease=60, ordered=True)
        assert (head.message.text, head.attempt) == ("x1", 2)
        queue.settle([(head, Dead("no"))])
        assert payloads(queue, ordered=True) == ["x2"]

    def test_a_busy_topic_does_not_starve_others(self, queue: Queue, clock: FakeClock) -> None:
        """With room for one only, topics take turns."""
        for topic in "abc":
            fill(queue, clock, f"{topic}1", f"{topic}2", topic=topic)
        seen = []
        while claims := queue.claim("q", 1, lease=60, ordered=True):
            seen += [claim.message.text for claim in claims]
            queue.settle([(claim, Done()) for claim in claims])
        assert seen == ["a1", "b1", "c1", "a2", "b2", "c2"]

    def test_a_suspect_comes_alone(self, queue: Queue, clock: FakeClock) -> None:
        """A head whose lease ran out is lent with nothing beside it, and never left out for ever."""
        for topic in "abc":
            fill(queue, clock, f"{topic}1", topic=topic)
        for claim in queue.claim("q", 3, lease=10, ordered=True):
            if claim.message.topic != "b":
                queue.settle([(claim, GiveBack())])
        clock.advance(11)
        seen = []
        while claims := queue.claim("q", 3, lease=60, ordered=True):
            seen.append([(claim.message.text, claim.suspect) for claim in claims])
        assert [("b1", True)] in seen
        assert sorted(text for group in seen for text, _ in group) == ["a1", "b1", "c1"]


class TestSettle:
    def test_each_outcome(self, queue: Queue, clock: FakeClock) -> None:
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

    def test_given_back(self, queue: Queue, clock: FakeClock) -> None:
        """It stands where it stood, before what came after it."""
        fill(queue, clock, "a", "b")
        (a,) = queue.claim("q", 1, lease=60)
        clock.advance(1)
        queue.settle([(a, GiveBack())])
        assert [payloads(queue, 1), payloads(queue, 1)] == [["a"], ["b"]]

    def test_given_back_with_a_delay(self, queue: Queue, clock: FakeClock) -> None:
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
    def test_a_second_settlement_has_no_effect(self, queue: Queue, clock: FakeClock, outcome: Done) -> None:
        """A claim can be settled once; the second try is told as stale and changes nothing."""
        fill(queue, clock, "a")
        (claim,) = queue.claim("q", 1, lease=60)
        queue.settle([(claim, Done())])
        assert list(queue.settle([(claim, outcome)])) == [claim]
        assert figures(queue) == (0, 0, 1, 0)

    def test_the_same_twice_in_one_call(self, queue: Queue, clock: FakeClock) -> None:
        """Also within one commit only the first settlement counts."""
        fill(queue, clock, "a")
        (claim,) = queue.claim("q", 1, lease=60)
        assert list(queue.settle([(claim, RetryLater(1)), (claim, Dead("x"))])) == [claim]
        assert figures(queue) == (1, 0, 0, 0)


class TestDeadLetters:
    def bury(self, queue: Queue, clock: FakeClock, count: int) -> list[int]:
        fill(queue, clock, *(f"m{number}" for number in range(count)))
        claims = queue.claim("q", count, lease=60)
        queue.settle([(claim, Dead(f"reason {claim.message.text}")) for claim in claims])
        return [claim.message.id for claim in claims]

    def test_listing(self, queue: Queue, clock: FakeClock) -> None:
        """They are listed by id with message, reason and time, a page at a time."""
        ids = self.bury(queue, clock, 5)
        page = queue.dead_letters("q", limit=2)
        assert [letter.message.id for letter in page] == ids[:2]
        assert (page[0].reason, page[0].message.text, page[0].dead_at) == ("reason m0", "m0", clock.wall())
        assert [one.message.id for one in queue.dead_letters("q", limit=9, after_id=ids[1])] == ids[2:]

    def test_requeue(self, queue: Queue, clock: FakeClock) -> None:
        """Those named, or the oldest, become pending with all their attempts."""
        ids = self.bury(queue, clock, 4)
        assert queue.requeue_dead("q", [ids[2], 999]) == 1
        assert queue.requeue_dead("q", limit=2) == 2
        assert figures(queue) == (3, 0, 0, 1)
        assert [(claim.message.id, claim.attempt) for claim in queue.claim("q", 9, lease=60)] == [
            (i, 1) for i in ids[:3]
        ]

    def test_purge(self, queue: Queue, clock: FakeClock) -> None:
        """Those named, or the oldest, are deleted; nothing that is not dead is."""
        ids = self.bury(queue, clock, 3)
        fill(queue, clock, "alive")
        assert queue.purge_dead("q", [ids[1], ids[1] + 100]) == 1
        assert queue.purge_dead("q") == 2
        assert figures(queue) == (1, 0, 0, 0)


class TestMaintain:
    def test_retention(self, queue: Queue, clock: FakeClock) -> None:
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

    def test_in_steps(self, queue: Queue, clock: FakeClock) -> None:
        """A step deletes no more than it was told; calling on until 0 deletes all that is due."""
        fill(queue, clock, *(str(number) for number in range(25)))
        queue.settle([(claim, Done()) for claim in queue.claim("q", 25, lease=60)])
        steps = []
        while deleted := queue.maintain(Retention(done_seconds=0), limit=10):
            steps.append(deleted)
        assert steps == [10, 10, 5]

    def test_kept_forever(self, queue: Queue, clock: FakeClock) -> None:
        """None means never."""
        fill(queue, clock, "a")
        queue.settle([(queue.claim("q", 1, lease=60)[0], Done())])
        clock.advance(1e9)
        assert queue.maintain(Retention(done_seconds=None, dead_seconds=None)) == 0


class TestWatching:
    def test_changed(self, connect: Connect, queue: Queue, clock: FakeClock) -> None:
        """Another connection's commit is noticed, once; nothing is noticed when nothing happened."""
        other = connect()
        other.changed()
        assert not other.changed()
        fill(queue, clock, "a")
        assert other.changed()
        assert not other.changed()

    @pytest.mark.parametrize("settlement", [RetryLater(300), GiveBack(300), GiveBack()])
    def test_oldest_pending(self, queue: Queue, clock: FakeClock, settlement: Settlement) -> None:
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

    def test_store(self, queue: Queue) -> None:
        """Sizes and free space are told; a probe writes without leaving a trace in the figures."""
        queue.probe()
        stats = queue.store_stats()
        assert stats.database_bytes >= 0
        assert stats.free_disk_bytes > 0
        assert figures(queue) == (0, 0, 0, 0)

    def test_notes(self, connect: Connect, queue: Queue) -> None:
        """A note is there for every connection, and the last one counts."""
        assert queue.recall("k") is None
        queue.remember("k", "1")
        queue.remember("k", "2")
        assert connect().recall("k") == "2"


def test_a_store_keeps_its_identity(connect: Connect, queue: Queue) -> None:
    """Every connection sees the same one."""
    identity = connect().identity()
    assert queue.identity() == connect().identity() == identity


def test_a_note_is_exchanged_only_if_nobody_has_changed_it(queue: Queue) -> None:
    """Of two processes that have read the same note, one writes."""
    assert queue.exchange("key", None, "one")
    assert not queue.exchange("key", None, "two")
    assert not queue.exchange("key", "zero", "two")
    assert queue.recall("key") == "one"
    assert queue.exchange("key", "one", "two")
    assert queue.recall("key") == "two"
