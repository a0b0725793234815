"""Lending messages: what comes, in what order, for how long."""

import threading
from collections.abc import Callable

import pytest

from contract.filling import figures, fill, payloads
from fmq.errors import UnknownQueue
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.roles import Store
from support.backends import BackendUnderTest
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestClaim:
    def test_in_order_of_arrival_and_only_once(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Two workers get different messages, the oldest first, and never more than they asked for."""
        fill(queue, clock, *"abcde")
        other = connect()
        assert payloads(queue, 2) == ["a", "b"]
        assert payloads(other, 2) == ["c", "d"]
        assert payloads(queue, 2) == ["e"]
        assert payloads(other) == []

    @pytest.mark.parametrize("ordered", [False, True])
    def test_a_limit_in_bytes(self, queue: Store, clock: FakeClock, *, ordered: bool) -> None:
        """A claim stops before the limit is passed, and a message larger than it comes alone. A topic of one letter counts 4."""
        for topic, size in zip("abcde", (4, 4, 4, 50, 1), strict=True):
            fill(queue, clock, "x" * size, topic=topic)
        sizes = []
        while claims := queue.claim("q", 10, lease=60, ordered=ordered, most_bytes=16):
            sizes.append([len(claim.message.payload) for claim in claims])
        assert sizes == [[4, 4], [4], [50], [1]]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_few_messages_and_a_large_limit(self, queue: Store, *, ordered: bool) -> None:
        """A large payload comes whole, also where there is room for all; and properties count with what they take in memory."""
        queue.declare("q")
        payload = bytes(range(256)) * 400
        queue.put([Incoming("q", topic, payload, 1.0) for topic in "ab"])
        claims = queue.claim("q", 2, lease=60, ordered=ordered, most_bytes=2**30)
        assert [claim.message.payload for claim in claims] == [payload] * 2
        queue.settle([(claim, Done()) for claim in claims])
        properties = Properties(user_properties=tuple((f"name {number}", "value") for number in range(400)))
        queue.put([Incoming("q", topic, b"p", 1.0, properties=properties) for topic in "ab"])
        for topic in "ab":
            (claim,) = queue.claim("q", 2, lease=60, ordered=ordered, most_bytes=2**17)
            assert (claim.message.topic, claim.message.properties) == (topic, properties)

    @pytest.mark.parametrize("ordered", [False, True])
    @pytest.mark.parametrize("what", ["payload", "topic", "properties", "content type"])
    def test_the_limit_holds_for_everything(self, queue: Store, what: str, *, ordered: bool) -> None:
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

    def test_unknown_queue(self, queue: Store) -> None:
        """A queue that nobody declared is an error, not an empty one."""
        for call in (lambda: queue.claim("x", 1, lease=1), lambda: queue.stats("x"), lambda: queue.dead_letters("x")):
            with pytest.raises(UnknownQueue):
                call()

    def test_a_lease_that_ran_out(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
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

    def test_extending(self, queue: Store, clock: FakeClock) -> None:
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

    def test_a_wall_clock_that_jumps(self, queue: Store, clock: FakeClock) -> None:
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

    def test_a_reboot(self, backend: BackendUnderTest, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """After a reboot of the only machine nobody holds anything: all leases are over, whatever the clocks say.

        One of several machines that boots anew says nothing about the others: the lease lasts.
        """
        fill(queue, clock, "a")
        queue.claim("q", 1, lease=3600)
        queue.close()
        clock.reboot()
        clock.jump(-600)
        if not backend.one_host:
            assert payloads(connect()) == []
            clock.advance(3600)
        assert payloads(connect()) == ["a"]

    def test_threads_never_share_a_message(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Several workers at once: every message is lent exactly once while its lease lasts."""
        fill(queue, clock, *(str(number) for number in range(400)))
        taken: list[str] = []

        def work(mine: Store) -> None:
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
    def test_one_message_of_a_topic_at_a_time(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """While the head of a topic is out, no other message of that topic is lent to anybody; other topics go on."""
        for topic in ("x", "y"):
            fill(queue, clock, f"{topic}1", f"{topic}2", topic=topic)
        first = queue.claim("q", 10, lease=60, ordered=True)
        assert [claim.message.text for claim in first] == ["x1", "y1"]
        other = connect()
        assert payloads(other, ordered=True) == []
        queue.settle([(first[0], Done())])
        assert payloads(other, ordered=True) == ["x2"]

    def test_an_older_one_that_is_requeued(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """While a message of a topic is lent, no other one is, not even an older one that was dead; then it goes first."""
        fill(queue, clock, "x1", "x2", "x3", topic="x")
        (first,) = queue.claim("q", 10, lease=60, ordered=True)
        queue.settle([(first, Dead("no"))])
        (second,) = queue.claim("q", 10, lease=60, ordered=True)
        assert queue.requeue_dead("q") == 1
        other = connect()
        assert payloads(other, ordered=True) == payloads(queue, ordered=True) == []
        queue.settle([(second, Done())])
        assert payloads(other, ordered=True) == ["x1"]
        assert payloads(queue, ordered=True) == []

    def test_later_ones_wait_behind_a_retry(self, queue: Store, clock: FakeClock) -> None:
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

    def test_a_busy_topic_does_not_starve_others(self, queue: Store, clock: FakeClock) -> None:
        """With room for one only, topics take turns."""
        for topic in "abc":
            fill(queue, clock, f"{topic}1", f"{topic}2", topic=topic)
        seen = []
        while claims := queue.claim("q", 1, lease=60, ordered=True):
            seen += [claim.message.text for claim in claims]
            queue.settle([(claim, Done()) for claim in claims])
        assert seen == ["a1", "b1", "c1", "a2", "b2", "c2"]

    def test_a_suspect_comes_alone(self, queue: Store, clock: FakeClock) -> None:
        """A head whose lease ran out is lent alone, and is never left out forever."""
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
