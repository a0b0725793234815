"""Plain functions in threads.

A hand-over costs the same for one message and for a thousand: the threads pull from one deque, whose operations
are atomic, and wake the supervisor when they run dry or every few milliseconds.
"""

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from fmq_processor.job import Finished, Job
from fmq_processor.runners.current import PLACE
from fmq_processor.runners.protocol import SPARE_HUNG, Bell, Trouble, take_all

_log = logging.getLogger(__name__)
_RING_SECONDS = 0.005


class _Slot:
    """What one thread does."""

    __slots__ = ("abandoned", "job", "thread")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.abandoned = False
        self.thread: threading.Thread | None = None


class _Leave(BaseException):
    """Ends a thread."""


class ThreadRunner:
    """Runs a plain handler in ``concurrency`` threads. See Runner."""

    def __init__(self, handle: Callable[[Any], Any], *, concurrency: int, bell: Bell | None = None) -> None:
        """``bell`` may be that of other runners too."""
        self.finished: deque[Finished] = deque()
        self.bell = bell or Bell()
        self._handle = handle
        self._concurrency = concurrency
        self._waiting: deque[Job] = deque()
        self._tickets: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._slots: list[_Slot] = []
        self._hung: list[_Slot] = []
        self._died: BaseException | None = None

    def start(self) -> None:
        for _ in range(self._concurrency):
            self._add_thread()

    def _add_thread(self) -> None:
        slot = _Slot()
        # A daemon: a call that never returns must not keep the process from ending.
        work = copy_context().run  # so that log lines of the handler name its route
        slot.thread = threading.Thread(target=work, args=(self._work, slot), name="handler", daemon=True)
        self._slots.append(slot)
        slot.thread.start()

    def call(self, hook: Callable[[], Any]) -> Future[None]:
        future: Future[None] = Future()

        def run() -> None:
            try:
                result = hook()
                if inspect.iscoroutine(result):
                    asyncio.run(result)
                future.set_result(None)
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                future.set_exception(error)

        self._tickets.put(run)
        return future

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)
        for _ in range(min(len(jobs), self._concurrency)):
            self._tickets.put(None)

    def waiting(self) -> int:
        return len(self._waiting)

    def recall(self) -> list[Job]:
        return take_all(self._waiting)

    def running(self) -> list[Job]:
        return [job for slot in self._slots if (job := slot.job) is not None]

    def abandon(self, job: Job) -> None:
        for slot in self._slots:
            if slot.job is job:
                slot.abandoned = True
                self._slots.remove(slot)
                self._hung.append(slot)
                self._add_thread()
                self._tickets.put(None)
                return

    def stalled(self, now: float) -> float:  # noqa: ARG002 - an event loop needs it
        return 0.0

    def trouble(self, now: float) -> Trouble | None:  # noqa: ARG002 - as above
        if self._died is not None:
            return Trouble(f"a handler thread died: {self._died!r}")
        if len(self._hung) <= self._concurrency + SPARE_HUNG:
            return None
        self._hung = [slot for slot in self._hung if slot.thread and slot.thread.is_alive()]
        if len(self._hung) <= self._concurrency + SPARE_HUNG:
            return None
        return Trouble(f"{len(self._hung)} handler calls hang, and a thread can't be stopped")

    def stop(self, seconds: float) -> bool:
        def leave() -> None:
            raise _Leave

        for _ in self._slots:
            self._tickets.put(leave)
        deadline = time.monotonic() + seconds
        for slot in self._slots:
            if slot.thread:
                slot.thread.join(max(0.0, deadline - time.monotonic()))
        # Those that hang are not waited for: they have had their time.
        return not self.left()

    def left(self) -> int:
        return sum(1 for slot in (*self._slots, *self._hung) if slot.thread and slot.thread.is_alive())

    def _work(self, slot: _Slot) -> None:
        PLACE.set(slot)
        try:
            while not slot.abandoned:
                ticket = self._tickets.get()
                if ticket:
                    ticket()
                else:
                    self._run_dry(slot)
        except _Leave:
            pass
        except BaseException as error:  # noqa: BLE001 - trouble() reports it
            self._died = error
            _log.critical("A handler thread died", exc_info=error)
            self.bell.ring()

    def _run_dry(self, slot: _Slot) -> None:
        __tracebackhide__ = True
        handle, take, finish, now = self._handle, self._waiting.popleft, self.finished.append, time.perf_counter
        rung = now()
        while not slot.abandoned:
            try:
                job = take()
            except IndexError:
                break
            slot.job = job
            began = now()
            try:
                result = handle(job.argument)
            except BaseException as error:  # noqa: BLE001 - SystemExit too: a handler must not end the service
                result = error
            ended = now()
            finish(Finished(job, result, began, ended))
            if ended - rung > _RING_SECONDS:
                rung = ended
                self.bell.ring()
        slot.job = None
        self.bell.ring()
