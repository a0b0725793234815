"""Async functions in one event loop, which has a thread to itself."""

import asyncio
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from fmq_processor.job import Finished, Job
from fmq_processor.runner import SPARE_HUNG, Bell, take_all

_RING_SECONDS = 0.001


class LoopRunner:
    """Runs an async handler, ``concurrency`` calls at once. See Runner."""

    def __init__(self, handle: Callable[[Any], Any], *, concurrency: int, timeout: float) -> None:
        self.finished: deque[Finished] = deque()
        self.bell = Bell()
        self._handle = handle
        self._concurrency = concurrency
        self._timeout = timeout
        self._waiting: deque[Job] = deque()
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._cancelled: dict[Job, asyncio.Task[None]] = {}
        self._ringing = False
        self._asked_at: float | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="handlers", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

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
        self._loop.call_soon_threadsafe(self._start_jobs)

    def waiting(self) -> int:
        return len(self._waiting)

    def recall(self) -> list[Job]:
        return take_all(self._waiting)

    def running(self) -> list[Job]:
        return list(self._tasks)

    def abandon(self, job: Job) -> None:
        self._loop.call_soon_threadsafe(self._cancel, job)

    def trouble(self, now: float) -> str | None:
        if len(self._cancelled) > self._concurrency + SPARE_HUNG:
            return f"{len(self._cancelled)} handler calls go on although they were cancelled"
        if self._asked_at is None:
            self._asked_at = now
            self._loop.call_soon_threadsafe(self._answer)
        elif self._timeout and now - self._asked_at > self._timeout:
            return f"an async handler has blocked its event loop for {now - self._asked_at:.0f} s"
        return None

    def stop(self, seconds: float) -> bool:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # What follows runs in the loop's thread.

    def _run_loop(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._ready.set()
        await self._end.wait()

    def _answer(self) -> None:
        self._asked_at = None

    def _start_jobs(self) -> None:
        while self._waiting and len(self._tasks) < self._concurrency:
            try:
                job = self._waiting.popleft()
            except IndexError:  # the supervisor took it back
                break
            self._tasks[job] = self._loop.create_task(self._run(job))

    async def _run(self, job: Job) -> None:
        began = time.perf_counter()
        try:
            result = await self._handle(job.argument)
        except BaseException as error:  # noqa: BLE001 - SystemExit too: a handler must not end the service
            result = error
        self.finished.append(Finished(job, result, began, time.perf_counter()))
        self._tasks.pop(job, None)
        self._cancelled.pop(job, None)
        self._start_jobs()
        if not self._tasks:
            self.bell.ring()
        elif not self._ringing:
            self._ringing = True
            self._loop.call_later(_RING_SECONDS, self._ring)

    def _ring(self) -> None:
        self._ringing = False
        self.bell.ring()

    def _cancel(self, job: Job) -> None:
        task = self._tasks.pop(job, None)
        if task is not None:
            self._cancelled[job] = task
            task.cancel()
            self._start_jobs()
