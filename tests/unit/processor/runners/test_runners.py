"""Threads and loop, and what they are woken by."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fmq.handler import Handler
from fmq_processor.runners.factory import make_runner
from fmq_processor.runners.hooks import SetupFailed, set_up, tear_down
from fmq_processor.runners.protocol import Bell, Runner


def test_a_ring_before_the_wait_is_heard() -> None:
    """However many there were, once."""
    bell = Bell()
    bell.ring()
    bell.ring()
    began = time.perf_counter()
    bell.wait(60)
    assert time.perf_counter() - began < 30
    bell.wait(0.001)


def test_a_signal_that_takes_longer_than_the_wait_does_not_prolong_it() -> None:
    """With queue.SimpleQueue in its place CPython 3.11 waits forever, and SIGTERM leaves an idle processor running."""
    bell = Bell()
    handled = threading.Event()

    def slow(*_: object) -> None:
        time.sleep(0.2)  # longer than the wait: that is what this is about
        handled.set()

    before = signal.signal(signal.SIGUSR1, slow)
    try:
        timer = threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
        timer.start()
        rescue = threading.Timer(60, bell.ring)
        rescue.start()
        began = time.perf_counter()
        bell.wait(0.15)
        assert handled.is_set()
        assert time.perf_counter() - began < 30
        rescue.cancel()
    finally:
        signal.signal(signal.SIGUSR1, before)


def _plain(_: object) -> None: ...


async def _async(_: object) -> None: ...


def _started(handle: Callable[[Any], Any]) -> Runner:
    runner = make_runner(
        Handler("test", handle, is_async=asyncio.iscoroutinefunction(handle)), concurrency=1, timeout=30
    )
    runner.start()
    return runner


@pytest.mark.parametrize("handle", [_plain, _async])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_hooks_run_where_the_handler_runs(handle: Callable[[Any], Any], kind: str) -> None:
    """Plain or async, for plain and async handlers: what setup opens belongs to the thread that uses it."""
    threads: list[str] = []

    def plain_hook() -> None:
        threads.append(threading.current_thread().name)

    async def async_hook() -> None:
        await asyncio.sleep(0)
        plain_hook()

    hook = plain_hook if kind == "plain" else async_hook
    runner = _started(handle)
    assert set_up(runner, hook, keep_waiting=lambda: True)
    assert tear_down(runner, hook, keep_waiting=lambda: True)
    assert runner.stop(5)
    assert len(threads) == 2
    assert set(threads) <= {"handler", "handlers"}


@pytest.mark.parametrize("handle", [_plain, _async])
@pytest.mark.parametrize("error", [ValueError("no database"), SystemExit(0), KeyboardInterrupt()])
def test_a_setup_that_fails_is_told(handle: Callable[[Any], Any], error: BaseException) -> None:
    """Whatever it raises; and teardown tells the log."""

    def hook() -> None:
        raise error

    runner = _started(handle)
    with pytest.raises(SetupFailed, match=type(error).__name__):
        set_up(runner, hook, keep_waiting=lambda: True)
    assert not tear_down(runner, hook, keep_waiting=lambda: True)
    assert runner.stop(5)


@pytest.mark.parametrize("handle", [_plain, _async])
def test_no_hooks_are_fine(handle: Callable[[Any], Any]) -> None:
    """They are optional."""
    runner = _started(handle)
    assert set_up(runner, None, keep_waiting=lambda: True)
    assert tear_down(runner, None, keep_waiting=lambda: True)
    assert runner.stop(5)


def test_a_hook_that_hangs_is_not_waited_for_longer_than_allowed() -> None:
    """The shutdown must not wait for a setup that never ends."""
    go_on = threading.Event()
    runner = _started(_plain)
    assert not set_up(runner, go_on.wait, keep_waiting=lambda: False)
    assert not runner.stop(0.01)
    go_on.set()
    assert runner.stop(5)
