"""A handler that buries what it gets: a queue is paused before everything is dead. On a real queue."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, Reject, batch_handler
from support.counting import counted, counters
from support.workbench import QUEUE, Workbench, messages_of


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


class Deploy:
    """A handler that rejects everything while it is bad."""

    def __init__(self) -> None:
        self.bad = True
        self.calls = 0

    def __call__(self, message: Message) -> None:
        self.calls += 1
        if self.bad or message.payload == b"poison":
            raise Reject("no such column")


def _forms(deploy: Deploy) -> dict[str, Callable[..., Any]]:
    async def awaited(message: Message) -> None:
        deploy(message)

    @batch_handler
    def batch(messages: Sequence[Message]) -> list[object]:
        return [Reject("no such column") if deploy.bad else None for _ in messages]

    return {"plain": deploy, "async": awaited, "batch": batch}


def _is_paused(bench: Workbench, queue: str = QUEUE) -> Callable[[], bool]:
    return lambda: bench.other.paused(queue) is not None


@pytest.mark.parametrize("form", ["plain", "async", "batch"])
def test_a_bad_deploy_buries_no_more_than_the_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """However many are in hand; then the queue is paused, shown with the reason, and stays so until it is resumed."""
    caplog.set_level(logging.INFO)
    deploy = Deploy()
    with Workbench(tmp_path, _forms(deploy)[form], batch=50, concurrency=4, dead_letter_limit=30) as bench:
        bench.put(*[b"x"] * 1_000)
        bench.turn_until(_is_paused(bench))
        bench.turn_until(lambda: bench.states() == (970, 0, 0, 30))
        pause = bench.stats().paused
        assert pause is not None
        assert pause.reason == "too many dead letters, the last: no such column"
        assert bench.metric("fmq_dead_letter_pauses_total") == 1
        assert len(messages_of(caplog.records, "Paused queue dstdb: too many dead letters")) == 1
        for _ in range(100):
            bench.clock.advance(60)
            bench.turn()
        assert bench.states() == (970, 0, 0, 30)
        assert bench.borrow(970) == []
        deploy.bad = False
        assert bench.other.resume(QUEUE)
        bench.turn_until(lambda: bench.states() == (0, 0, 970, 30))
        assert len(messages_of(caplog.records, "Queue dstdb is resumed")) == 1
        assert bench.other.requeue_dead(QUEUE) == 30
        bench.turn_until(lambda: bench.states() == (0, 0, 1_000, 0))
        assert counted(bench.path) == counters(bench.path)


def test_without_a_limit_it_buries_everything(tmp_path: Path) -> None:
    """The control."""
    with Workbench(tmp_path, Deploy(), batch=50, dead_letter_limit=0) as bench:
        bench.put(*[b"x"] * 500)
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 500))


def test_an_operator_who_resumes_too_soon_loses_another_few(tmp_path: Path) -> None:
    """The limit holds anew, at once, and the queue is paused again."""
    with Workbench(tmp_path, Deploy(), batch=50, dead_letter_limit=30) as bench:
        bench.put(*[b"x"] * 500)
        for dead in (30, 60, 90):
            bench.turn_until(_is_paused(bench))
            bench.turn_until(lambda: bench.worker.holds == 0)
            assert bench.states() == (500 - dead, 0, 0, dead)
            bench.other.resume(QUEUE)
        bench.turn_until(bench.reached("fmq_dead_letter_pauses_total", 4))


@pytest.mark.parametrize("why", ["can't be decoded", "fails to the last", "kills its worker"])
def test_every_kind_of_dead_letter_counts(tmp_path: Path, why: str) -> None:
    """Whatever gave the message up."""

    def handle(_: Message) -> bool:
        return False

    settings = {"decode": "json"} if why == "can't be decoded" else {}
    with Workbench(
        tmp_path, handle, dead_letter_limit=5, max_retries=0, circuit_failures=0, lease_seconds=10, **settings
    ) as bench:
        bench.put(*[b"{"] * 20)
        if why == "kills its worker":
            bench.borrow(20, lease=1)
            bench.clock.advance(2)
        bench.turn_until(_is_paused(bench))
        bench.turn_until(lambda: bench.worker.holds == 0)
        assert bench.stats().dead == 5


def test_other_queues_go_on(tmp_path: Path) -> None:
    """And what was in hand of them is handled."""
    deploy = Deploy()

    def handle(message: Message) -> None:
        if message.queue == QUEUE:
            deploy(message)

    with Workbench(tmp_path, handle, batch=20, dead_letter_limit=5) as bench:
        bench.put(*[b"x"] * 100)
        bench.put(*[b"x"] * 100, queue="other")
        bench.turn_until(lambda: bench.stats("other").done == 100)
        bench.turn_until(lambda: bench.states() == (95, 0, 0, 5))
        assert bench.other.paused("other") is None


def test_a_publisher_of_nonsense_does_not_stop_a_queue_that_works(tmp_path: Path) -> None:
    """A third of all messages dies, far more than the limit, and the queue goes on."""
    deploy = Deploy()
    deploy.bad = False
    with Workbench(tmp_path, deploy, batch=10, dead_letter_limit=5) as bench:
        bench.put(*[b"x", b"x", b"poison"] * 100)
        bench.turn_until(lambda: bench.states() == (0, 0, 200, 100))
        assert bench.other.paused(QUEUE) is None


def test_by_itself_only_if_it_is_told_to(tmp_path: Path) -> None:
    """After the time that the setting says; also by a processor that was started since."""
    deploy = Deploy()
    with Workbench(tmp_path, deploy, batch=50, dead_letter_limit=30) as bench:
        bench.put(*[b"x"] * 100)
        bench.turn_until(lambda: bench.states() == (70, 0, 0, 30))
        bench.shutdown.request()
        bench.worker.run(bench.shutdown)
    deploy.bad = False
    with Workbench(tmp_path, deploy, batch=50, dead_letter_limit=30, dead_letter_resume_seconds=600) as bench:
        for _ in range(20):
            bench.turn()
            bench.clock.advance(29)
        assert bench.states() == (70, 0, 0, 30)
        bench.clock.advance(21)
        bench.turn_until(lambda: bench.states() == (0, 0, 70, 30))


def test_an_operators_pause_is_left_alone(tmp_path: Path) -> None:
    """Whatever the setting: somebody has a reason of their own."""
    with Workbench(tmp_path, lambda _: None, dead_letter_resume_seconds=10) as bench:
        bench.put(*[b"x"] * 5)
        bench.other.pause(QUEUE, "the target is being moved")
        for _ in range(20):
            bench.turn()
            bench.clock.advance(60)
        assert bench.states() == (5, 0, 0, 0)
        bench.other.resume(QUEUE)
        bench.turn_until(lambda: bench.stats().done == 5)


def test_a_store_that_fails_meanwhile(tmp_path: Path) -> None:
    """Nothing beyond the limit dies, and the queue is paused as soon as that can be written."""
    with Workbench(tmp_path, Deploy(), batch=50, dead_letter_limit=30) as bench:
        bench.put(*[b"x"] * 100)
        bench.turn(1)
        with bench.locked():
            for _ in range(5):
                bench.turn()
                bench.clock.advance(6)
        bench.clock.advance(6)
        bench.turn_until(_is_paused(bench))
        bench.turn_until(lambda: bench.states() == (70, 0, 0, 30))
