"""What every backend does with what messages ask for, and with receipts."""

from collections.abc import Callable

import pytest

from contract.filling import figures, fill, payloads
from fmq.errors import UnknownQueue
from fmq.message import Incoming, Receipt, Terms
from fmq.store.options import Retention
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestTerms:
    def test_a_key_is_stored_once_in_its_time(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Of messages with one key only the first is stored, in one batch and over several, until its time is over."""
        queue.declare("p")

        def put(into: Store, *keys: str | None, name: str = "q") -> list[int]:
            messages = [Incoming(name, "t", str(key).encode(), clock.wall()) for key in keys]
            terms = {at: Terms(key=key, key_seconds=10) for at, key in enumerate(keys) if key is not None}
            return list(into.put(messages, terms=terms))

        assert put(queue, "a", "b", "a", None, None) == [2]
        clock.advance(9)
        assert put(connect(), "b", "c", "a") == [0, 2]
        assert put(queue, "a", name="p") == []
        clock.advance(1)
        assert put(queue, "a", "a", "c") == [1, 2]
        assert payloads(queue) == ["a", "b", "None", "None", "c", "a"]
        assert queue.stats("q").stored == 6

    def test_many_keys_in_one_batch(self, queue: Store, clock: FakeClock) -> None:
        """However many there are, the first message of each key is stored, in the order of arrival, among those without one."""
        messages = [Incoming("q", "t", str(at).encode(), clock.wall()) for at in range(300)]
        terms = {at: Terms(key=str(at % 110), key_seconds=10) for at in range(300) if at % 3}
        first: dict[int, int] = {}
        for at in terms:
            first.setdefault(at % 110, at)
        later = [at for at in terms if first[at % 110] != at]
        assert list(queue.put(messages, terms=terms)) == later
        assert payloads(queue, 300) == [str(at) for at in range(300) if at not in later]

    def test_keys_are_forgotten_when_their_time_is_over(self, queue: Store, clock: FakeClock) -> None:
        """Upkeep deletes them, and none too early."""
        messages = [Incoming("q", "t", b"x", clock.wall())] * 5
        queue.put(messages, terms={at: Terms(key=str(at), key_seconds=10 + at) for at in range(5)})
        clock.advance(12)
        assert queue.maintain(Retention(None, None), limit=2) == 2
        assert queue.maintain(Retention(None, None), limit=2) == 1
        assert queue.maintain(Retention(None, None), limit=2) == 0
        assert queue.put(messages, terms={at: Terms(key=str(at), key_seconds=10) for at in range(5)}) == [3, 4]

    def test_a_delayed_message_waits(self, queue: Store, clock: FakeClock) -> None:
        """It is pending at once and lent when its delay is over; others are not held up, before it or behind it."""
        messages = [Incoming("q", str(at), str(at).encode(), clock.wall()) for at in range(4)]
        queue.put(messages, terms={0: Terms(delay=5), 2: Terms(delay=1)})
        assert figures(queue) == (4, 0, 0, 0)
        assert payloads(queue) == ["1", "3"]
        assert payloads(queue) == []
        fill(queue, clock, "4")
        assert payloads(queue) == ["4"]
        clock.advance(1)
        assert payloads(queue) == ["2"]
        clock.advance(4)
        assert payloads(queue) == ["0"]

    def test_many_delayed_messages_cost_no_later_claim(self, queue: Store, clock: FakeClock) -> None:
        """An idle look does not walk through what is delayed."""
        messages = [Incoming("q", "t", b"x", clock.wall())] * 500
        queue.put(messages, terms={at: Terms(delay=60) for at in range(500)})
        assert payloads(queue) == []
        fill(queue, clock, "now")
        assert payloads(queue) == ["now"]
        assert queue.stats("q").pending == 500
        clock.advance(60)
        assert len(payloads(queue, 1_000)) == 500


class TestReceipts:
    def test_they_are_kept_with_the_messages(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """A receipt is there exactly if its messages are; the older ones are dropped as told; sessions are apart."""
        message = Incoming("q", "t", b"x", clock.wall())
        for number in range(1, 6):
            queue.put([message], receipt=Receipt("s", number, bytes([number]), first_kept=number - 1))
        with pytest.raises(UnknownQueue):
            queue.put([Incoming("nowhere", "t", b"x", 0.0)], receipt=Receipt("s", 6, b"6", first_kept=6))
        queue.put([], receipt=Receipt("other", 1, b"o", first_kept=0))
        assert list(connect().receipts("s")) == [(4, b"\x04"), (5, b"\x05")]
        queue.forget_receipts("s")
        assert (list(queue.receipts("s")), list(queue.receipts("other"))) == ([], [(1, b"o")])
