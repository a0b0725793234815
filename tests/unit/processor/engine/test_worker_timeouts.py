"""Handlers that take too long."""

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fmq import Message, batch_handler
from fmq_processor.runners.protocol import SPARE_HUNG, Trouble
from support.workbench import Workbench, messages_of

TIMEOUT = 30


def _length(calls: list[int], length: int) -> Callable[[], bool]:
    return lambda: len(calls) == length


def _all_started(bench: Workbench, started: Callable[[], bool]) -> None:
    bench.turn_until(started, what="the calls to start")
    bench.turn()  # the worker has seen them run


def test_a_plain_call_that_hangs_is_a_failure_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread is given up and replaced, and what it returns in the end changes nothing."""
    caplog.set_level(logging.DEBUG)
    go_on, hung = threading.Event(), threading.Event()

    def handle(message: Message) -> None:
        if message.payload == b"hang" and not message.retry_count:
            hung.set()
            go_on.wait()

    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT, backoff_initial=1000, backoff_maximum=1000) as bench:
        bench.put(b"hang", b"next")
        _all_started(bench, hung.is_set)
        bench.clock.advance(TIMEOUT + 0.1)
        bench.turn_until(lambda: bench.states() == (1, 0, 1, 0))
        assert bench.metric("fmq_timeouts_total") == bench.metric("fmq_retries_total", reason="timeout") == 1
        assert messages_of(caplog.records, "timed out after 30 s")
        go_on.set()
        bench.turn_until(lambda: messages_of(caplog.records, "Dropped the result"))
        assert bench.states() == (1, 0, 1, 0)
        bench.clock.advance(1000)
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))


def test_nothing_times_out_before_its_time(tmp_path: Path) -> None:
    """Nor with a timeout of 0, ever."""
    for timeout, passed in ((TIMEOUT, TIMEOUT - 0.1), (0, 100_000)):
        go_on, started = threading.Event(), threading.Event()

        def handle(_: Message, go_on: threading.Event = go_on, started: threading.Event = started) -> None:
            started.set()
            go_on.wait()

        folder = tmp_path / str(timeout)
        folder.mkdir()
        with Workbench(folder, handle, handler_timeout=timeout, lease_seconds=80_000) as bench:
            bench.put(b"x")
            _all_started(bench, started.is_set)
            bench.clock.advance(passed)
            bench.turn()
            assert bench.states() == (0, 1, 0, 0)
            go_on.set()
            bench.turn_until(bench.reached("fmq_handle_seconds_count", 1))


def test_an_async_call_that_hangs_is_cancelled(tmp_path: Path) -> None:
    """And the loop goes on with the others."""
    cancelled: list[bytes] = []

    async def handle(message: Message) -> None:
        if message.payload == b"hang":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(message.payload)
                raise

    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT, max_retries=0) as bench:
        bench.put(b"hang", b"next")
        _all_started(bench, lambda: bench.stats().done == 1)
        bench.clock.advance(TIMEOUT + 0.1)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 1))
        assert bench.dead()[0].reason == "gave up after 1 attempts: timed out after 30 s"
        bench.turn_until(lambda: cancelled == [b"hang"])
        assert bench.runner.trouble(bench.clock.steady()) is None


def test_threads_that_hang_are_limited(tmp_path: Path) -> None:
    """Beyond some the process says that it has to be restarted."""
    go_on = threading.Event()
    started: list[int] = []

    def handle(message: Message) -> None:
        started.append(message.id)
        go_on.wait()

    with Workbench(
        tmp_path, handle, concurrency=2, handler_timeout=TIMEOUT, grace_seconds=0, circuit_failures=0
    ) as bench:
        bench.put(*[b"x"] * 20)
        for round_ in range(1, 5):
            assert bench.runner.trouble(0) is None
            _all_started(bench, _length(started, 2 * round_))
            bench.clock.advance(TIMEOUT + 0.1)
            bench.turn_until(bench.reached("fmq_timeouts_total", 2 * round_))
        assert 2 + SPARE_HUNG < 8
        assert bench.runner.trouble(0) == Trouble("8 handler calls hang, and a thread can't be stopped")
        trouble = bench.worker.run(bench.shutdown)
        assert trouble is not None
        assert bench.stats().claimed == 0
        go_on.set()


def test_async_calls_that_ignore_their_cancellation_are_limited(tmp_path: Path) -> None:
    """As with threads: nothing can end them."""
    go_on = threading.Event()
    started: list[int] = []

    async def handle(message: Message) -> None:
        started.append(message.id)
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    with Workbench(tmp_path, handle, concurrency=1, handler_timeout=TIMEOUT, circuit_failures=0) as bench:
        bench.put(*[b"x"] * 10)
        for round_ in range(1, 7):
            _all_started(bench, _length(started, round_))
            bench.clock.advance(TIMEOUT + 0.1)
            bench.turn_until(bench.reached("fmq_timeouts_total", round_))
        bench.turn_until(lambda: "although they were cancelled" in str(bench.runner.trouble(0)))
        go_on.set()


def test_an_async_handler_that_blocks_its_loop_is_noticed(tmp_path: Path) -> None:
    """Nothing can be cancelled then, so the process has to be restarted."""
    go_on, started = threading.Event(), threading.Event()

    async def handle(_: Message) -> None:
        started.set()
        go_on.wait()  # a blocking call in a coroutine

    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT) as bench:
        bench.put(b"x", b"y")
        _all_started(bench, started.is_set)
        assert bench.runner.trouble(bench.clock.steady()) is None
        bench.clock.advance(TIMEOUT + 0.1)
        assert "has blocked its event loop" in str(bench.runner.trouble(bench.clock.steady()))
        go_on.set()


def test_a_batch_call_times_out_as_one(tmp_path: Path) -> None:
    """All of its messages are retried."""
    go_on, started = threading.Event(), threading.Event()

    @batch_handler
    def handle(_: list[Message]) -> None:
        started.set()
        go_on.wait()

    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT) as bench:
        bench.put(b"a", b"b", b"c")
        _all_started(bench, started.is_set)
        bench.clock.advance(TIMEOUT + 0.1)
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 3)
        assert bench.states() == (3, 0, 0, 0)
        go_on.set()


def test_a_hundred_slow_async_calls_run_at_once(tmp_path: Path) -> None:
    """As many as the batch has messages; each waits for all the others to be there."""
    together = asyncio.Barrier(100)

    async def handle(_: Message) -> None:
        await together.wait()

    with Workbench(tmp_path, handle, batch=100) as bench:
        bench.put(*[b"x"] * 100)
        bench.turn_until(lambda: bench.stats().done == 100)


def test_plain_calls_run_at_once_in_threads(tmp_path: Path) -> None:
    """As many as the concurrency says, no more."""
    together, lock = threading.Barrier(4), threading.Lock()
    running: set[int] = set()
    most: list[int] = []

    def handle(message: Message) -> None:
        with lock:
            running.add(message.id)
            most.append(len(running))
        together.wait(10)
        with lock:
            running.remove(message.id)

    with Workbench(tmp_path, handle, concurrency=4) as bench:
        bench.put(*[b"x"] * 8)
        bench.turn_until(lambda: bench.states() == (0, 0, 8, 0))
    assert max(most) == 4
