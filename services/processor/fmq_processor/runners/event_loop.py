"""Async functions in one event loop, which has a thread to itself.

A call that blocks the loop holds up every other one. The supervisor asks the loop for an answer all the time: while none
comes, no other call's time runs, and a turn of the loop that takes longer than a call may is blamed on its own job alone.
"""

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from fmq_processor.job import Finished, Job
from fmq_processor.runners.current import PLACE
from fmq_processor.runners.protocol import SPARE_HUNG, Bell, Trouble, take_all

_log = logging.getLogger(__name__)
_RING_SECONDS = 0.001
_RING_SECONDS_WITH_WORK = 0.005
"""A ring costs a commit, and nobody waits for it while there is more to start."""
_STALL_SECONDS = 0.25
"""A turn of the loop that takes longer than this is not charged to the other calls."""


class _Task:
    """The place of one call, and of the tasks and callbacks that it makes."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job = job


class LoopRunner:
    """Runs an async handler, ``concurrency`` calls at once. See Runner."""

    def __init__(
        self, handle: Callable[[Any], Any], *, concurrency: int, timeout: float, bell: Bell | None = None
    ) -> None:
        """``bell`` may be that of other runners too."""
        self.finished: deque[Finished] = deque()
        self.bell = bell or Bell()
        self._handle = handle
        self._concurrency = concurrency
        self._timeout = timeout
        self._waiting: deque[Job] = deque()
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._cancelled: dict[Job, asyncio.Task[None]] = {}
        self._ringing = False
        self._asked_at: float | None = None
        self._answered = False
        self._turn: asyncio.Handle | None = None
        self._turn_since = 0.0
        self._stalled = 0.0
        self._ending = False
        self._ready = threading.Event()
        # What the loop calls runs in a copy of this context, so that log lines of the handler name its route.
        self._context = copy_context()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run_loop,), name="handlers", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def call(self, hook: Callable[[], Any]) -> Future[None]:
        async def run() -> None:
            try:
                result = hook()
                if inspect.isawaitable(result):
                    await result
            except (SystemExit, KeyboardInterrupt) as error:  # these would end the loop itself
                raise RuntimeError(f"it raised {error!r}") from error

        return asyncio.run_coroutine_threadsafe(run(), self._loop)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)
        self._soon(self._start_jobs)

    def waiting(self) -> int:
        return len(self._waiting)

    def recall(self) -> list[Job]:
        return take_all(self._waiting)

    def running(self) -> list[Job]:
        return list(self._tasks)

    def abandon(self, job: Job) -> None:
        self._soon(self._cancel, job)

    def stalled(self, now: float) -> float:
        waited = 0.0 if self._asked_at is None or self._answered else now - self._asked_at
        return self._stalled + (waited if waited > _STALL_SECONDS else 0.0)

    def trouble(self, now: float) -> Trouble | None:
        if len(self._cancelled) > self._concurrency + SPARE_HUNG:
            return Trouble(f"{len(self._cancelled)} handler calls go on although they were cancelled")
        if not self._thread.is_alive():
            return Trouble("the thread of the event loop died", is_stuck=True)
        if self._asked_at is None or self._answered:
            if self._asked_at is not None and now - self._asked_at > _STALL_SECONDS:
                self._stalled += now - self._asked_at
            self._asked_at, self._answered = now, False
            self._turn, self._turn_since = self._running_handle(), now
            self._soon(self._answer)
            return None
        turn = self._running_handle()
        if turn is not self._turn:
            self._turn, self._turn_since = turn, now
        elif self._timeout and now - self._turn_since > self._timeout:
            reason = f"an async handler has blocked its event loop for {now - self._turn_since:.0f} s"
            place = None if turn is None else turn._context.get(PLACE)  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way to find the running callback
            return Trouble(reason, is_stuck=True, culprit=place and place.job)
        return None

    def stop(self, seconds: float) -> bool:
        self._ending = True
        self._soon(self._loop.stop)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def left(self) -> int:
        return int(self._thread.is_alive())

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: its thread has died, as trouble() says
            self._loop.call_soon_threadsafe(call, *arguments, context=self._context)

    def _running_handle(self) -> asyncio.Handle | None:
        """What the loop's thread runs at this moment."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 - Python has no public way
        while frame is not None:
            if frame.f_code is asyncio.Handle._run.__code__:  # noqa: SLF001 - asyncio has no public way to find the running callback
                found: asyncio.Handle = frame.f_locals["self"]
                return found
            frame = frame.f_back
        return None

    # What follows runs in the loop's thread.

    def _run_loop(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._ready.set()
                while not self._ending:
                    try:
                        self._loop.run_forever()  # until stop(), or a handler stops the loop that it runs in
                    except BaseException as error:  # noqa: BLE001 - SystemExit in a task of a handler's own ends up here
                        _log.warning("A task that a handler started ended the event loop; it goes on", exc_info=error)
        except BaseException as error:  # noqa: BLE001 - trouble() sees that it died
            _log.critical("The thread of the event loop died", exc_info=error)
        finally:
            self._ready.set()

    def _answer(self) -> None:
        self._answered = True

    def _start_jobs(self) -> None:
        while self._waiting and len(self._tasks) < self._concurrency:
            try:
                job = self._waiting.popleft()
            except IndexError:  # the supervisor took it back
                break
            self._tasks[job] = self._loop.create_task(self._run(job))

    async def _run(self, job: Job) -> None:
        __tracebackhide__ = True
        PLACE.set(_Task(job))
        began = time.perf_counter()
        try:
            result = await self._handle(job.argument)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: a handler must not end the service
            result = error
        self.finished.append(Finished(job, result, began, time.perf_counter()))
        self._tasks.pop(job, None)
        self._cancelled.pop(job, None)
        ran_dry = False
        if self._waiting:
            self._start_jobs()
            ran_dry = not self._waiting
        if ran_dry or not self._tasks:
            self.bell.ring()
        elif not self._ringing:
            self._ringing = True
            self._loop.call_later(_RING_SECONDS_WITH_WORK if self._waiting else _RING_SECONDS, self._ring)

    def _ring(self) -> None:
        self._ringing = False
        self.bell.ring()

    def _cancel(self, job: Job) -> None:
        task = self._tasks.pop(job, None)
        if task is not None:
            self._cancelled[job] = task
            task.cancel()
            self._start_jobs()
