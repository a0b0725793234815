"""What the store remembers of its queues, its services and its operators."""

from collections.abc import Callable

import pytest

from contract.filling import fill
from fmq.outcome import Done
from fmq.store.records import ServiceReport
from fmq.store.roles import Store
from support.clock import FakeClock

Connect = Callable[[], Store]


class TestMinutes:
    def test_a_row_a_minute(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """Each minute is kept once, by the first process that looks, with totals, states and the age of the oldest message."""
        other = connect()
        fill(queue, clock, "a", "b")
        clock.advance(60)
        assert queue.note_minute()
        assert not queue.note_minute()
        assert not other.note_minute()
        queue.settle([(queue.claim("q", 1, lease=60)[0], Done())])
        clock.advance(60)
        assert other.note_minute()
        first, second = (one.queues["q"] for one in queue.history())
        assert (first.stored, first.handled, first.pending) == (2, 0, 2)
        assert (second.stored, second.handled, second.pending) == (2, 1, 1)
        assert second.oldest_age == pytest.approx(120)
        minutes = [one.minute for one in queue.history()]
        assert minutes == [minutes[0], minutes[0] + 1]
        assert [one.minute for one in queue.history(since=minutes[1])] == minutes[1:]

    def test_one_queue(self, queue: Store, clock: FakeClock) -> None:
        """What is read of one queue is what is read of all, whatever its name; a minute without it is there all the same."""
        names = ["q", 'a"b', "a.b[0]", "\N{SNOWMAN}/+", "late"]
        for name in names[:-1]:
            queue.declare(name)
            fill(queue, clock, "a", name=name)
        clock.advance(60)
        queue.note_minute()
        queue.declare("late")
        clock.advance(60)
        queue.note_minute()
        whole = queue.history()
        assert len(whole) == 2
        for name in [*names, "never"]:
            some = queue.history(name=name)
            assert [one.minute for one in some] == [one.minute for one in whole]
            assert [dict(one.queues) for one in some] == [
                {key: kept for key, kept in one.queues.items() if key == name} for one in whole
            ]
        assert len(queue.history(name="q", since=whole[1].minute)) == 1

    def test_a_day_is_kept(self, queue: Store, clock: FakeClock) -> None:
        """1,440 minutes; older ones go."""
        for _ in range(1_450):
            clock.advance(60)
            queue.note_minute()
        kept = queue.history()
        assert len(kept) == 1_440
        assert kept[-1].minute == clock.wall() // 60 - 1

    def test_a_clock_that_is_set_back(self, queue: Store, clock: FakeClock) -> None:
        """Minutes of the future are not kept: the history goes on from what the clock says now."""
        clock.advance(60)
        queue.note_minute()
        clock.jump(-3_600)
        assert queue.note_minute()
        assert [one.minute for one in queue.history()] == [clock.wall() // 60 - 1]


class TestServices:
    REPORT = ServiceReport(
        "listener-a-7", "listener", "a", 7, "0.2.0", 1_800_000_000.0, {"queues": ["q"], "connected": True}
    )

    def test_a_report_replaces_the_last_one(self, connect: Connect, queue: Store, clock: FakeClock) -> None:
        """All services are seen by every connection, with the seconds since their last report."""
        queue.report(self.REPORT)
        clock.advance(5)
        queue.report(ServiceReport("processor-b-8", "processor", "b", 8, "0.2.0", clock.wall()))
        clock.advance(5)
        known = {one.report.name: one for one in connect().services()}
        assert known["listener-a-7"].report == self.REPORT
        assert {name: one.unseen for name, one in known.items()} == {"listener-a-7": 10, "processor-b-8": 5}
        queue.report(self.REPORT)
        assert next(one.unseen for one in queue.services() if one.report == self.REPORT) == 0

    def test_one_that_has_ended(self, queue: Store) -> None:
        """A service that ends in order leaves no row."""
        queue.report(self.REPORT)
        queue.withdraw(self.REPORT.name)
        assert queue.services() == []

    def test_one_that_was_killed(self, queue: Store, clock: FakeClock) -> None:
        """It is forgotten after a day; a wall clock that is set changes nothing about that."""
        queue.report(self.REPORT)
        clock.jump(1e8)
        clock.advance(86_000)
        [known] = queue.services()
        assert known.unseen == 86_000
        clock.advance(500)
        assert queue.services() == []


class TestAudit:
    def test_an_action_from_its_beginning(self, queue: Store, clock: FakeClock) -> None:
        """Who does what to which messages is known from the start, and how far it has come also if it is killed."""
        number = queue.begin_action(actor="ann", kind="requeue", queue="q", selection="reason contains 'x'")
        [action] = queue.actions()
        assert (action.actor, action.kind, action.queue, action.selection) == (
            "ann",
            "requeue",
            "q",
            "reason contains 'x'",
        )
        assert (action.changed, action.ended_at) == (0, None)
        queue.note_progress(number, changed=1_000)
        clock.advance(3)
        assert queue.actions()[0].changed == 1_000
        queue.end_action(number, changed=1_200)
        assert (queue.actions()[0].changed, queue.actions()[0].ended_at) == (1_200, clock.wall())

    def test_the_last_ones_first(self, queue: Store) -> None:
        """In pages."""
        numbers = [queue.begin_action(actor="a", kind="pause") for _ in range(5)]
        assert [one.number for one in queue.actions(limit=2)] == numbers[:2:-1]
        assert [one.number for one in queue.actions(before=numbers[3], limit=2)] == [numbers[2], numbers[1]]
