"""Reads the store once a second while anyone looks, and not at all otherwise."""

import asyncio
import logging
import threading
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

import fmq
from fmq.clock import Clock
from fmq.errors import QueueError, UnknownQueue
from fmq.store.roles import Store
from fmq_web.answers.activity import OperationView
from fmq_web.http.problems import Problem
from fmq_web.live.board import Board
from fmq_web.live.feed import KEEP_ALIVE_SECONDS, Feed
from fmq_web.live.rates import RateMeter
from fmq_web.live.reading import Reader, Reading
from fmq_web.stores import Stores
from fmq_web.views.overview import Rates

_log = logging.getLogger(__name__)

MOST_STREAMS = 64
SAMPLE_SECONDS = 1.0
_SESSIONS_REMEMBERED = 1_000
_OPERATIONS = 32
"""Those that run, and the last ones that ended."""


class Operations(Protocol):
    """What the sampler asks the Runner."""

    def all(self) -> list[OperationView]:
        """Operations that run, and the last ones that ended."""
        ...


class Sampler:
    """Gives feeds (server-sent events; fmq_web.answers.live has their shapes) and the rates of the last seconds.

    ``subscribe``, ``end_session``, ``rates`` and ``close`` may be called from any thread. Everything else happens in the event
    loop that sends the feeds; there is one.
    """

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        runner: Operations,
        *,
        read: Callable[[Store, Clock, Rates], Reading] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        keep_alive: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self.board = Board(fmq.__version__)
        self.samples = 0
        self._begun = 0
        self._stores = stores
        self._clock = clock
        self._runner = runner
        self._read = read or Reader()
        self._sleep = sleep
        self._keep_alive = keep_alive
        self._meter = RateMeter(clock)
        self._lock = threading.Lock()
        self._feeds: set[Feed] = set()
        self._ended_sessions: deque[str] = deque(maxlen=_SESSIONS_REMEMBERED)
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, session_key: str | None) -> Feed:
        """A new stream. ``session_key`` is that of the caller's session, if any.

        Problem 401: the session has ended meanwhile. 503: there are too many streams.
        """
        for other in self._listeners():
            other.drop_if_stuck()
        feed = Feed(self, session_key, self._clock, keep_alive=self._keep_alive, first=self._begun + 1)
        with self._lock:
            if self._closed:
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The server stops.")
            if session_key in self._ended_sessions:
                raise Problem(HTTPStatus.UNAUTHORIZED, "Your session has ended. Sign in again.")
            if len(self._feeds) >= MOST_STREAMS:
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_STREAMS} pages are live already. Reload to see news."
                )
            self._feeds.add(feed)
        return feed

    def end_session(self, key: str) -> None:
        """Cut all streams of a session, and those that are about to begin."""
        with self._lock:
            self._ended_sessions.append(key)
        for feed in self._listeners():
            if feed.session == key:
                feed.cut()

    def rates(self, name: str) -> tuple[float, float] | None:
        """In and out of a queue in messages per second over the last seconds. None unless someone has looked meanwhile."""
        return self._meter.rates(name)

    def close(self) -> None:
        """Say ``bye`` on all streams and begin no more."""
        with self._lock:
            self._closed = True
        for feed in self._listeners():
            feed.close()

    def begin(self) -> None:
        """Somebody listens: start sampling unless it goes on."""
        if self._task is None or self._task.done():
            self.board = Board(fmq.__version__)  # what an old one says is long past
            self._task = asyncio.get_running_loop().create_task(self._sample_while_anyone_listens())
            self._task.add_done_callback(self._on_end)

    def forget(self, feed: Feed) -> None:
        """A feed has ended."""
        with self._lock:
            self._feeds.discard(feed)

    def _listeners(self) -> list[Feed]:
        with self._lock:
            return list(self._feeds)

    async def _sample_while_anyone_listens(self) -> None:
        while self._listeners() and not self._closed:
            self._begun += 1
            await self._sample()
            self.samples = self._begun
            for feed in self._listeners():
                feed.drop_if_stuck()
                feed.wake()
            await self._sleep(SAMPLE_SECONDS)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """An error of fmq ends all streams, so that pages see it and connect again."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Without the error's text, which may hold contents.
            stack = "".join(traceback.format_tb(error.__traceback__))
            _log.error(
                "The live figures failed (%s); pages connect again", type(error).__name__, extra={"stack": stack}
            )
            for feed in self._listeners():
                feed.cut()

    async def _sample(self) -> None:
        try:
            reading = await asyncio.wrap_future(
                self._stores.submit(lambda store: self._read(store, self._clock, self._meter.rates))
            )
        except UnknownQueue:
            return  # it was deleted meanwhile; the next sample knows
        except QueueError as error:
            self.board.fail(str(error))
            return
        self._meter.note(reading.queues)
        self.board.update(reading, self._runner.all()[:_OPERATIONS])
