"""A sampler on a real store, and pages on its streams; the test moves the clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import pytest

from fmq.clock import Clock
from fmq.message import Incoming
from fmq.store.roles import Store
from fmq_web.answers.activity import OperationView
from fmq_web.http.problems import Problem
from fmq_web.live.reading import Reader, Reading
from fmq_web.live.sampler import Sampler
from fmq_web.views.overview import Rates
from support.web.databases import QUEUE, Web
from support.web.live import Follower


class Bench:
    """A sampler whose seconds pass when the test says so."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.reads = 0
        self._reader = Reader()
        self.error: Exception | None = None
        self.operations: list[OperationView] = []
        self.keep_alive = 60.0
        self.sampler = Sampler(
            web.stores, web.clock, self, read=self._read, sleep=self._sleep, keep_alive=self.keep_alive
        )
        self._second = asyncio.Event()
        self._asleep = asyncio.Event()

    def all(self) -> list[OperationView]:
        return self.operations

    def _read(self, store: Store, clock: Clock, rates: Rates) -> Reading:
        self.reads += 1
        if self.error:
            raise self.error
        return self._reader(store, clock, rates)

    async def _sleep(self, _seconds: float) -> None:
        self._asleep.set()
        await self._second.wait()
        self._second.clear()

    async def second(self) -> None:
        """Let a second pass. Returns once the sampler has sampled again, or has ended."""
        await self._asleep.wait()
        self._asleep.clear()
        self.web.clock.advance(1)
        self._second.set()
        task = self.sampler._task
        assert task is not None
        asleep = asyncio.ensure_future(self._asleep.wait())
        await asyncio.wait({asleep, task}, return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()

    def put(self, count: int, queue: str = QUEUE) -> None:
        self.web.store.declare(queue)
        self.web.store.put([Incoming(queue, "t", b"", self.web.clock.wall()) for _ in range(count)])


class Listener:
    """A page on a stream."""

    def __init__(self, bench: Bench, session: str | None = None) -> None:
        self.feed = bench.sampler.subscribe(session)
        self.page = Follower()
        self._chunks: AsyncIterator[bytes] = aiter(self.feed)

    async def take(self) -> bytes:
        """The next chunk. Raises StopAsyncIteration at the end."""
        chunk = await anext(self._chunks)
        self.page.take(chunk)
        return chunk

    async def begin(self) -> None:
        """Until the first state."""
        while not self.page.names:
            await self.take()

    async def rest(self) -> None:
        with suppress(StopAsyncIteration):
            while True:
                await self.take()

    async def leave(self) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """In an event loop of its own."""

    async def main() -> None:
        await scenario()

    asyncio.run(main())


def status(call: Callable[[], object]) -> HTTPStatus:
    """Of the problem that the call raises."""
    with pytest.raises(Problem) as problem:
        call()
    return problem.value.status
