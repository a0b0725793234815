"""One client's stream of events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from fmq.clock import Clock
from fmq_web.live.board import NOTHING, Board

KEEP_ALIVE_SECONDS = 15.0
STUCK_SECONDS = 30.0
_BEGIN = b"retry: 2000\n\n"
_KEEP_ALIVE = b":\n\n"
_BYE = b"event: bye\ndata: {}\n\n"


class Source(Protocol):
    """Where feeds come from."""

    board: Board
    samples: int
    """How many samples have ended."""

    def begin(self) -> None:
        """Somebody listens. In the event loop."""
        ...

    def forget(self, feed: "Feed") -> None:
        """A feed has ended. From any thread."""
        ...


class Feed:
    """Server-sent events as bytes. Iterate once. Made in any thread; all else happens in the event loop of its iteration."""

    def __init__(self, source: Source, session: str | None, clock: Clock, *, keep_alive: float, first: int) -> None:
        """``first`` is the number of the first sample to send. An earlier one would take a new page back in time."""
        self.session = session
        self._source = source
        self._clock = clock
        self._keep_alive = keep_alive
        self._first = first
        self._sending_since: float | None = clock.steady()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._cut = False
        self._closing = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._source.begin()
        try:
            yield _BEGIN
            seen = NOTHING
            while not self._cut and not self._closing:
                self._changed.clear()
                events = b""
                if self._source.samples >= self._first:
                    events, seen = self._source.board.since(seen)
                if not events:
                    events = await self._quiet()
                if events:
                    self._sending_since = self._clock.steady()
                    yield events
                    self._sending_since = None
            if self._closing:
                yield _BYE
        finally:
            self._source.forget(self)

    async def _quiet(self) -> bytes:
        """Wait for a change. Returns a comment if there is none for long, so that proxies keep the connection."""
        self._sending_since = None
        try:
            async with asyncio.timeout(self._keep_alive):
                await self._changed.wait()
        except TimeoutError:
            return _KEEP_ALIVE
        return b""

    def wake(self) -> None:
        """The board has changed. In the event loop."""
        self._changed.set()

    def cut(self) -> None:
        """End the stream without ``bye``. From any thread."""
        self._cut = True
        self._call(self._changed.set)

    def close(self) -> None:
        """End the stream with ``bye``. From any thread."""
        self._closing = True
        self._call(self._changed.set)

    def drop_if_stuck(self) -> None:
        """End it if its client has taken nothing for 30 s, or never began. From any thread."""
        if self._sending_since is None or self._clock.steady() - self._sending_since < STUCK_SECONDS:
            return
        self.cut()
        if self._task is not None:
            self._call(self._task.cancel)
        self._source.forget(self)

    def _call(self, function: Callable[[], object]) -> None:
        """Call ``function`` in the event loop, if the iteration has begun."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)
