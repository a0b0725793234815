"""A worker whose queue is deleted by an operator goes on, and serves the queue when it returns. On a real queue."""

from pathlib import Path

import pytest

from fmq import Message, Reject
from support.workbench import QUEUE, Workbench


@pytest.mark.parametrize(
    "settings",
    [{}, {"topics": (QUEUE,)}, {"ordered": True}, {"dead_letter_limit": 5, "dead_letter_resume_seconds": 10}],
    ids=lambda settings: next(iter(settings), "all"),
)
def test_it_serves_the_queue_that_returns(tmp_path: Path, settings: dict[str, object]) -> None:
    """And other queues meanwhile."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload), **settings) as bench:
        for number in range(3):
            bench.put(b"%d" % number)
            bench.turn_until(lambda: bench.worker.holds == 0 and bench.stats().done == 1)
            assert bench.other.delete_queue(QUEUE)
            if "topics" not in settings:
                bench.put(b"other", queue="other")
            for _ in range(5):
                bench.clock.advance(20)
                bench.turn()
        assert [payload for payload in seen if payload != b"other"] == [b"0", b"1", b"2"]
        assert seen.count(b"other") == (0 if "topics" in settings else 3)


def test_a_queue_that_was_paused(tmp_path: Path) -> None:
    """The worker looks whether to resume it, finds nothing, and counts anew when the queue returns."""

    def handle(_: Message) -> None:
        raise Reject("no such column")

    with Workbench(tmp_path, handle, dead_letter_limit=5, dead_letter_resume_seconds=10, batch=50) as bench:
        bench.put(*[b"x"] * 50)
        bench.turn_until(lambda: bench.other.paused(QUEUE) is not None and bench.worker.holds == 0)
        bench.other.delete_messages(QUEUE, range(1, 51))
        assert bench.other.delete_queue(QUEUE)
        for _ in range(5):
            bench.clock.advance(20)
            bench.turn()
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().dead == 1)
