"""The threads of a service: none dies unnoticed, and none keeps the service from stopping."""

import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Self

from fmq.service.lifecycle import STOP_SIGNALS, Shutdown

_log = logging.getLogger(__name__)
_LIBRARY_PREFIXES = ("Otel",)
"""Prefixes of threads that a library starts for a service, not for the user's handler."""
STOP_MARGIN_SECONDS = 3.0
_LOG_SECONDS = 1.0


class SupervisedThread(threading.Thread):
    """A daemon thread. An exception in it is logged with its traceback and ends the service with exit code 1."""

    def __init__(self, work: Callable[[], object], *, name: str, shutdown: Shutdown) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._shutdown = shutdown

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - SystemExit would end it silently
            report_death(self.name, error, self._shutdown)


def report_death(name: str, error: BaseException, shutdown: Shutdown) -> None:
    """Log the traceback of an exception in the thread ``name`` and stop the service."""
    what = "".join(traceback.format_exception_only(error)).strip()
    shutdown.fail(f"thread {name} died: {what}")
    _log.critical("Thread %s died, stopping the service: %s", name, what, exc_info=error)


def supervise_others(shutdown: Shutdown) -> None:
    """Log the traceback of any other thread that dies. A thread that a library started for the service stops the service."""

    def on_death(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "unknown"
        error = args.exc_value or args.exc_type()
        if name.startswith(_LIBRARY_PREFIXES):
            report_death(name, error, shutdown)
        else:
            _log.error("Thread %s died; the service goes on: %r", name, error, exc_info=error)

    threading.excepthook = on_death


class StopGuard:
    """Ends the process if it has not stopped ``STOP_MARGIN_SECONDS`` after its grace period.

    Python runs a signal's handler in the main thread only. If that thread waits for a name server or a disk, it does not
    notice SIGTERM. This thread does, by ``signal.set_wakeup_fd``. Enter it in the main thread.
    """

    def __init__(self, shutdown: Shutdown, *, grace: float, end: Callable[[int], object] = os._exit) -> None:
        """``grace`` is in seconds; ``end`` ends the process with an exit code."""
        self._shutdown = shutdown
        self._seconds = grace + STOP_MARGIN_SECONDS
        self._end = end
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._stopped = threading.Event()
        self._thread = SupervisedThread(self._run, name="stop-guard", shutdown=shutdown)

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        self._stopped.set()
        with suppress(OSError):
            self._writer.send(b"\0")
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _run(self) -> None:
        waiting = select.poll()
        waiting.register(self._reader, select.POLLIN)
        waiting.register(self._shutdown, select.POLLIN)
        while not self._stopped.is_set() and not self._shutdown.requested:
            waiting.poll()
            try:
                if set(self._reader.recv(4096)) & set(STOP_SIGNALS):
                    self._shutdown.request()
            except BlockingIOError:
                pass
            except OSError as error:  # without its files no service can go on, and the database is one of them
                self._shutdown.fail(f"something closed the files of this process: {error.strerror}")
        if self._stopped.wait(self._seconds):
            return
        # The main thread may hold the lock of the log.
        reporter = threading.Thread(target=self._report, name="last-words", daemon=True)
        reporter.start()
        reporter.join(_LOG_SECONDS)
        self._end(1)

    def _report(self) -> None:
        stack = "".join(traceback.format_stack(_main_frame(), limit=20))
        _log.critical("The service has not stopped %.0f s after the request; ending it", self._seconds)
        for line in stack.splitlines():
            _log.critical("The main thread is in: %s", line.strip())


def limit_exit(code: int) -> None:
    """End the process with ``code`` within ``STOP_MARGIN_SECONDS``, whatever keeps Python from ending.

    At exit Python waits for every non-daemon thread, for the calls in every ThreadPoolExecutor, and for ``atexit`` functions.
    A library or a handler may have started any of them. Call it when everything else is done.
    """
    threading.Thread(target=_end, args=(code,), name="exit-limit", daemon=True).start()


def _end(code: int) -> None:
    time.sleep(STOP_MARGIN_SECONDS)
    own = (threading.main_thread(), threading.current_thread())
    others = ", ".join(one.name for one in threading.enumerate() if one not in own) or "none"
    _log.warning("Threads that the handler left behind keep Python from ending (%s); ending the process", others)
    os._exit(code)


def _main_frame() -> FrameType | None:
    return sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - the one way to it
