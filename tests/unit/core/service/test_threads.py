"""Stopping by signals, and the threads of a service."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fmq.service.lifecycle import Shutdown
from fmq.service.resolving import Resolver
from fmq.service.threads import StopGuard, SupervisedThread, supervise_others

_STORM = """
import signal, sys
from fmq.service.lifecycle import Shutdown

sent = 0

def signal_at(step):
    left = step
    def trace(frame, event, _):
        global sent
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left <= 0:
                sent += 1
                signal.raise_signal(signal.SIGTERM)
        return trace
    return trace

for call in (lambda one: one.wait(0), lambda one: one.request(), lambda one: one.requested, lambda one: one.fail("x")):
    step, was = 0, -1
    while sent != was:  # until the call has fewer steps
        step, was = step + 1, sent
        shutdown = Shutdown()
        shutdown.install()
        sys.settrace(signal_at(step))
        call(shutdown)
        sys.settrace(None)
        assert shutdown.requested or sent == was, step
        shutdown.close()
print(sent)
"""

_STUCK = """
import ctypes
from fmq.service.lifecycle import Shutdown
from fmq.service.threads import StopGuard
import fmq.service.threads

fmq.service.threads.STOP_MARGIN_SECONDS = 0.2
shutdown = Shutdown()
shutdown.install()
with StopGuard(shutdown, grace=0):
    print("stuck", flush=True)
    ctypes.CDLL(None).usleep(60_000_000)
    ctypes.CDLL(None).usleep(60_000_000)
"""


_CLOSED = """
import os, time
from fmq.service.lifecycle import Shutdown
from fmq.service.threads import StopGuard
import fmq.service.threads

fmq.service.threads.STOP_MARGIN_SECONDS = 0.2
shutdown = Shutdown()
with StopGuard(shutdown, grace=0):
    os.closerange(3, 100)
    while not shutdown.failure:
        time.sleep(0.01)
    print(shutdown.failure, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def shutdown() -> Iterator[Shutdown]:
    made = Shutdown()
    yield made
    made.close()


def test_thousands_of_signals_deadlock_nothing() -> None:
    """A signal may arrive at any step of the main thread, also within wait() and request(): its handler takes no lock."""
    done = subprocess.run([sys.executable, "-c", _STORM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 2000


def test_a_wait_ends_with_the_request(shutdown: Shutdown) -> None:
    """From any thread, for any number of waiters; and the reason of a failure is kept."""
    waiters = [threading.Thread(target=shutdown.wait, args=(None,)) for _ in range(5)]
    for one in waiters:
        one.start()
    assert not shutdown.wait(0)
    shutdown.fail("first")
    shutdown.fail("second")
    for one in waiters:
        one.join(10)
        assert not one.is_alive()
    assert (shutdown.requested, shutdown.wait(5), shutdown.failure) == (True, True, "first")


def test_a_signal_is_logged_once_and_not_by_its_handler(shutdown: Shutdown, caplog: pytest.LogCaptureFixture) -> None:
    """The log's stream can't be entered twice by one thread, so the code that checks the flag does the logging."""
    caplog.set_level(logging.INFO)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        shutdown.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert shutdown.wait(5)
        assert shutdown.requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [one.getMessage() for one in caplog.records] == ["Received signal 15, shutting down gracefully..."]


@pytest.mark.parametrize("error", [TypeError("odd row"), SystemExit(3), KeyboardInterrupt()])
def test_a_thread_that_dies_ends_the_service(
    shutdown: Shutdown, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """Whatever ended it, with its traceback in the log."""

    def work() -> None:
        raise error

    thread = SupervisedThread(work, name="upkeep", shutdown=shutdown)
    thread.start()
    thread.join(10)
    assert shutdown.requested
    assert shutdown.failure is not None
    assert shutdown.failure.startswith(f"thread upkeep died: {type(error).__name__}")
    (record,) = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert record.exc_info
    assert record.exc_info[1] is error


def test_a_librarys_thread_ends_the_service_and_a_handlers_does_not(
    shutdown: Shutdown, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are logged with their traceback."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    supervise_others(shutdown)
    for name, failure in (("users", None), ("OtelBatchSpanRecordProcessor", "thread OtelBatch")):
        thread = threading.Thread(target=lambda: 1 / 0, name=name)
        thread.start()
        thread.join(10)
        assert (shutdown.failure or "").startswith(failure or "")
        assert (shutdown.failure is None) == (failure is None)
    assert [bool(one.exc_info) for one in caplog.records] == [True, True]


def test_a_main_thread_that_is_stuck_in_c_does_not_outlive_its_grace_period() -> None:
    """As in getaddrinfo: Python's signal handlers do not run, and yet the process ends, and says where it was stuck."""
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.terminate()
        _, told = process.communicate(timeout=15)
    assert process.returncode == 1
    assert "has not stopped" in told


def test_a_service_whose_files_were_closed_ends_in_time() -> None:
    """A handler that closes every descriptor takes those of the guard and of the database with it."""
    done = subprocess.run([sys.executable, "-c", _CLOSED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("something closed the files of this process")
    assert "has not stopped" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_guard_of_a_service_that_stops_does_nothing(shutdown: Shutdown) -> None:
    """Whether it was asked to stop or ended without that."""
    codes: list[int] = []
    for request in (True, False):
        with StopGuard(shutdown, grace=60, end=codes.append):
            if request:
                shutdown.request()
    assert codes == []


def test_a_name_server_that_does_not_answer_holds_nobody(shutdown: Shutdown) -> None:
    """The wait ends with its time or with the shutdown; one lookup at most is under way."""
    answer, calls = threading.Event(), []

    def lookup(*args: object, **_: object) -> None:
        calls.append(args)
        answer.wait()

    resolver = Resolver(shutdown, lookup=lookup)
    for _ in range(3):
        with pytest.raises(socket.gaierror, match="no name server answered"):
            resolver.require("broker.example", 1883, seconds=0.1)
    shutdown.request()
    began = time.monotonic()
    with pytest.raises(socket.gaierror):
        resolver.require("broker.example", 1883, seconds=60)
    assert time.monotonic() - began < 10
    assert len(calls) == 1
    answer.set()


def test_what_a_name_server_answers_is_passed_on(shutdown: Shutdown) -> None:
    """Including names that can't be one."""
    Resolver(shutdown).require("127.0.0.1", 1883)
    Resolver(shutdown).require("::1", 1883)
    with pytest.raises(UnicodeError):
        Resolver(shutdown).require("a..b", 1883)
    with pytest.raises(socket.gaierror):
        Resolver(shutdown).require("256.0.0.1.invalid", 1883)
