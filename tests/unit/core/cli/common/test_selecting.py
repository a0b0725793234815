"""Going through what is meant in steps: evenly, and to an end."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fmq.cli.common.selecting import change
from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import STEP, Pace, frozen
from support.clock import FakeClock


@pytest.mark.parametrize(("rate", "step"), [(None, STEP), (0.5, 1), (5, 1), (300, 30), (1_000_000, STEP)])
def test_the_pace(rate: float | None, step: int) -> None:
    """As many a second as was said, in about ten steps; one at least, and no step so large that others wait for the lock."""
    clock = FakeClock()
    pace = Pace(rate, clock=clock, sleep=clock.advance)
    assert pace.step == step
    start = clock.steady()
    for _ in range(20):
        pace.after(step)
    expected = 0.0 if rate is None else 20 * step / rate
    assert clock.steady() - start == pytest.approx(expected)


def test_a_slow_step_is_no_reason_to_wait() -> None:
    """Time that the work itself took counts."""
    clock = FakeClock()
    slept: list[float] = []
    pace = Pace(10, clock=clock, sleep=slept.append)
    clock.advance(5)
    pace.after(10)
    assert slept == []
    pace.after(50)
    assert slept == [pytest.approx(1.0)]


def test_what_dies_again_is_not_requeued_for_ever(tmp_path: Path) -> None:
    """A handler that kills each message at once, and new ones besides, keep nobody requeuing."""

    def kill(queue: Store) -> None:
        while claims := queue.claim("q", 1_000, lease=60):
            queue.settle([(claim, Dead("again")) for claim in claims])

    with open_store(f"sqlite:///{tmp_path}/q.db") as queue, open_store(f"sqlite:///{tmp_path}/q.db") as other:
        queue.declare("q")
        queue.put([Incoming("q", "t", b"", time.time()) for _ in range(25)])
        kill(other)
        calls: list[Sequence[int]] = []

        def requeue(name: str, ids: Sequence[int]) -> int:
            calls.append(ids)
            assert len(calls) < 10, "it goes on forever"
            changed = queue.requeue_dead(name, ids)
            other.put([Incoming("q", "t", b"", time.time()) for _ in range(25)])
            kill(other)
            return changed

        pace = Pace(100, sleep=lambda _seconds: None)
        assert change(queue, "q", frozen(queue, "q", Selection(State.DEAD)), requeue, kind="requeue", pace=pace) == 25
        assert [len(ids) for ids in calls] == [10, 10, 5]


def test_a_pace_after_a_pause() -> None:
    """What was missed while the store was locked is not made up for at once, and no wait is too long for a thread."""
    clock, slept = FakeClock(), list[float]()
    pace = Pace(10, clock=clock, sleep=slept.append)
    clock.advance(60)
    pace.after(1)
    pace.after(10)
    assert slept == [pytest.approx(1)]
    Pace(5e-324, clock=clock, sleep=slept.append).after(1)
    assert slept[-1] <= threading.TIMEOUT_MAX
