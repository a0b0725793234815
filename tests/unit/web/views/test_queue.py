"""One queue, its history, the services, and what was done."""

from http import HTTPStatus

import pytest

from fmq.message import Incoming
from fmq.outcome import Cause, Done, RetryLater
from fmq_web.http.problems import Problem
from fmq_web.views.activity import activity
from fmq_web.views.history import MOST_POINTS, history
from fmq_web.views.queue import queue_view
from fmq_web.views.services import services
from support.web.filled import EMPTY, QUEUE, Filled, reports


class TestQueue:
    def test_who_serves_it(self, filled: Filled) -> None:
        """Those who are at work: a listener subscribes to it, a processor without queues serves all."""
        seen = queue_view(filled.store, filled.clock, QUEUE)
        assert (seen.counts.dead, seen.subscribed, seen.deletable) == (3, True, False)
        assert (seen.handled_by, seen.ordered) == (["processor a/2"], False)
        assert queue_view(filled.store, filled.clock, EMPTY).ordered is None
        filled.clock.advance(31)
        seen = queue_view(filled.store, filled.clock, QUEUE)
        assert (seen.subscribed, seen.handled_by) == (False, [])

    def test_what_can_be_deleted(self, filled: Filled) -> None:
        """As the store has it: a queue with nothing but handled messages, which nobody subscribes to."""
        filled.clock.advance(31)
        for name in (QUEUE, EMPTY):
            deletable = queue_view(filled.store, filled.clock, name).deletable
            assert deletable is (name == EMPTY)
        filled.store.put([Incoming(EMPTY, "t", b"", filled.clock.wall())])
        assert not queue_view(filled.store, filled.clock, EMPTY).deletable
        filled.store.settle([(filled.store.claim(EMPTY, 1, lease=60)[0], Done())])
        assert queue_view(filled.store, filled.clock, EMPTY).deletable
        assert filled.store.delete_queue(EMPTY)

    def test_no_such_queue(self, filled: Filled) -> None:
        for asked in (
            lambda: queue_view(filled.store, filled.clock, "nowhere"),
            lambda: history(filled.store, filled.clock, "nowhere", 1),
        ):
            with pytest.raises(Problem) as caught:
                asked()
            assert caught.value.status == HTTPStatus.NOT_FOUND


class TestHistory:
    def test_points(self, filled: Filled) -> None:
        """Means of equal spans, oldest first, up to the last full minute; the flows add up to what came and went."""
        store, clock = filled.store, filled.clock
        for number in range(24 * 60 + 5):
            if number % 10 == 0:
                store.put([Incoming(EMPTY, "t", b"", clock.wall())] * 12)
                store.settle([(claim, Done()) for claim in store.claim(EMPTY, 12, lease=60)])
            clock.advance(60)
            store.note_minute()
        for hours, points, minutes in ((1, 60, 1), (6, 180, 2), (24, 240, 6)):
            seen = history(store, clock, EMPTY, hours)
            assert points - 1 <= len(seen.points) <= min(points + 1, MOST_POINTS)
            assert {one.minutes for one in seen.points[1:-1]} == {minutes}
            starts = [one.minute for one in seen.points]
            assert starts == sorted(set(starts))
            assert seen.points[-1].minute + seen.points[-1].minutes == int(clock.wall() // 60)
            span = sum(one.minutes for one in seen.points)
            came = sum(one.inflow * one.minutes for one in seen.points) * 60
            assert came == pytest.approx(sum(one.outflow * one.minutes for one in seen.points) * 60)
            assert came == pytest.approx(12 * span / 10, abs=12)

    def test_what_a_point_says(self, filled: Filled) -> None:
        """Depths, failed attempts a second, and the largest age."""
        store, clock = filled.store, filled.clock
        clock.advance(60)
        store.note_minute()
        store.put([Incoming(EMPTY, "t", b"", clock.wall())] * 3)
        store.settle([(store.claim(EMPTY, 1, lease=60)[0], RetryLater(0, "x", Cause.UNAVAILABLE))])
        clock.advance(60)
        store.note_minute()
        [point] = history(store, clock, EMPTY, 1).points
        assert [point.waiting, point.dead, point.failed] == pytest.approx([3, 0, 1 / 60])
        assert [point.inflow, point.outflow, point.oldest_seconds] == pytest.approx([0.05, 0, 60])

    def test_a_queue_that_starts_over(self, filled: Filled) -> None:
        """Deleted and declared again, its totals begin at 0: no flow is negative."""
        store, clock = filled.store, filled.clock
        for _ in range(2):
            store.put([Incoming(EMPTY, "t", b"", clock.wall())] * 3)
            store.settle([(claim, Done()) for claim in store.claim(EMPTY, 3, lease=60)])
            clock.advance(60)
            store.note_minute()
        store.delete_queue(EMPTY)
        store.declare(EMPTY)
        clock.advance(60)
        store.note_minute()
        assert [one.inflow for one in history(store, clock, EMPTY, 1).points] == [pytest.approx(0.05), 0]


def test_services(filled: Filled) -> None:
    """What each says of itself; times are those of its slowest queue."""
    listener, processor = services(filled.store).services
    assert (listener.kind, listener.queues, listener.connected, listener.away) == (
        "listener",
        [QUEUE, EMPTY],
        True,
        False,
    )
    assert (listener.handler, listener.circuit, listener.p95_seconds) == (None, None, None)
    assert (processor.queues, processor.handler, processor.circuit, processor.in_hand) == ([], "log", "", 1)
    assert (processor.p50_seconds, processor.p95_seconds, processor.connected) == (0.4, 2.5, None)
    filled.clock.advance(31)
    filled.store.report(reports(filled.clock)[0])
    assert [one.away for one in services(filled.store).services] == [False, True]


class TestActivity:
    def test_steps(self, filled: Filled) -> None:
        """Newest first, each once."""
        for number in range(7):
            action = filled.store.begin_action(actor=f"user {number}", kind="requeue", queue=QUEUE, selection="dead")
            if number:
                filled.store.end_action(action, changed=number)
        found, before = [], None
        while True:
            seen = activity(filled.store, [], before, limit=3)
            found += seen.actions
            before = seen.before
            if before is None:
                break
        assert [one.actor for one in found] == [f"user {number}" for number in range(6, -1, -1)]
        assert (found[0].changed, found[0].queue, found[-1].ended_at) == (6, QUEUE, None)

    def test_invented_cursors(self, filled: Filled) -> None:
        for before in ("x", "", "9" * 40):
            with pytest.raises(Problem) as caught:
                activity(filled.store, [], before)
            assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
