"""Answers that may last long, live streams and downloads: each kind has a bounded number of places.

So slow readers can't take all connections from everybody else.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from fmq.clock import Clock
from fmq_web.http.problems import Problem

MOST_STREAMS = 64
MOST_DOWNLOADS = 64
DOWNLOADS = frozenset(("application/octet-stream", "application/jsonl"))
_CHECK_SECONDS = 5.0


class Places:
    """``most`` places for answers of a kind. ``note`` gets the number of those that are taken."""

    def __init__(self, most: int, kind: str, note: Callable[[int], object] = lambda _taken: None) -> None:
        self._most = most
        self._kind = kind
        self._note = note
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place. Raises Problem if there is none."""
        if self._taken >= self._most:
            detail = f"Too many {self._kind} are open."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "30"})
        self._taken += 1
        self._note(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._note(self._taken)


class Right:
    """Whether the caller may still have a stream, asked at most every 5 s."""

    def __init__(self, may: Callable[[], bool], clock: Clock) -> None:
        self._may = may
        self._clock = clock
        self._checked = clock.steady()

    def has_ended(self) -> bool:
        """Whether it has ended since the last question."""
        if self._clock.steady() - self._checked < _CHECK_SECONDS:
            return False
        self._checked = self._clock.steady()
        return not self._may()


class Lasting(Response):
    """It takes its place only when it begins, and gives it back whatever ends it."""

    def __init__(self, places: Places, make: Callable[[], Awaitable[Response]], right: Right | None = None) -> None:
        super().__init__()
        self._places = places
        self._make = make
        self._right = right

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if self._right is not None and self._right.has_ended():
                raise _OverError
            await send(message)

        with self._places.one():
            response = await self._make()
            with suppress(_OverError):  # the connection ends without the answer's end, so that the page asks again
                await response(scope, receive, send_on)


class _OverError(Exception):
    """The caller may not have a stream any more."""
