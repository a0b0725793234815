"""Storing messages."""

from collections.abc import Callable

import pytest

from contract.filling import figures, fill
from fmq.errors import UnknownQueue
from fmq.message import Incoming, Properties
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestPut:
    def test_a_message_comes_out_as_it_went_in(self, queue: Store, clock: FakeClock) -> None:
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

    def test_sizes(self, queue: Store, clock: FakeClock) -> None:
        """Nothing is too small or too large: an empty payload, 10 MiB, a topic of 65,535 bytes."""
        queue.put([Incoming("q", "t", b"", clock.wall()), Incoming("q", "é" * 32_767, b"x" * 10_485_760, clock.wall())])
        empty, large = queue.claim("q", 2, lease=60)
        assert empty.message.payload == b""
        assert (len(large.message.payload), len(large.message.topic)) == (10_485_760, 32_767)

    def test_all_or_nothing(self, queue: Store, clock: FakeClock) -> None:
        """One unknown queue in a batch keeps the whole batch out."""
        with pytest.raises(UnknownQueue):
            queue.put([Incoming("q", "t", b"1", clock.wall()), Incoming("nowhere", "t", b"2", clock.wall())])
        assert figures(queue) == (0, 0, 0, 0)

    def test_several_queues_in_one_commit(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """A batch may hold messages of several queues, and another connection sees each in its own."""
        queue.declare("p")
        queue.put([Incoming("q", "t", b"1", clock.wall()), Incoming("p", "t", b"2", clock.wall())])
        other = connect()
        assert (other.names(), other.stats("q").pending, other.stats("p").pending) == (["p", "q"], 1, 1)

    def test_colliding_names_stay_apart(self, queue: Store, clock: FakeClock) -> None:
        """Queues whose names look alike to a file system or a database never share messages."""
        names = ["a/b", "a_b", "A/b", "a+b", "a b", "#", "+", "é" * 300, "é" * 301, 'x"; DROP TABLE q; --']
        for name in names:
            queue.declare(name)
            queue.declare(name)
            fill(queue, clock, name, name=name)
        assert sorted(queue.names()) == sorted([*names, "q"])
        for name in names:
            assert [claim.message.text for claim in queue.claim(name, 9, lease=60)] == [name]
