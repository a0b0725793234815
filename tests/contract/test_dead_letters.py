"""Dead letters are kept, requeued or purged."""

from collections.abc import Callable

from contract.filling import figures, fill
from fmq.outcome import Dead
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestDeadLetters:
    def bury(self, queue: Store, clock: FakeClock, count: int) -> list[int]:
        fill(queue, clock, *(f"m{number}" for number in range(count)))
        claims = queue.claim("q", count, lease=60)
        queue.settle([(claim, Dead(f"reason {claim.message.text}")) for claim in claims])
        return [claim.message.id for claim in claims]

    def test_listing(self, queue: Store, clock: FakeClock) -> None:
        """They are listed by id with message, reason and time, a page at a time."""
        ids = self.bury(queue, clock, 5)
        page = queue.dead_letters("q", limit=2)
        assert [letter.message.id for letter in page] == ids[:2]
        assert (page[0].reason, page[0].message.text, page[0].dead_at) == ("reason m0", "m0", clock.wall())
        assert [one.message.id for one in queue.dead_letters("q", limit=9, after_id=ids[1])] == ids[2:]

    def test_requeue(self, queue: Store, clock: FakeClock) -> None:
        """Those named, or the oldest, become pending with all their attempts."""
        ids = self.bury(queue, clock, 4)
        assert queue.requeue_dead("q", [ids[2], 999]) == 1
        assert queue.requeue_dead("q", limit=2) == 2
        assert figures(queue) == (3, 0, 0, 1)
        assert [(claim.message.id, claim.attempt) for claim in queue.claim("q", 9, lease=60)] == [
            (i, 1) for i in ids[:3]
        ]

    def test_purge(self, queue: Store, clock: FakeClock) -> None:
        """Those named, or the oldest, are deleted; nothing that is not dead is."""
        ids = self.bury(queue, clock, 3)
        fill(queue, clock, "alive")
        assert queue.purge_dead("q", [ids[1], ids[1] + 100]) == 1
        assert queue.purge_dead("q") == 2
        assert figures(queue) == (1, 0, 0, 0)
