"""One HTTP/1.1 connection: a request, its answer, then the next request."""

import asyncio
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from fmq_processor.handlers.webhook.policy import Answer

_CHUNK = 64 * 1024
_MOST_HEAD = 32 * 1024  # bytes of an answer's header fields
_MOST_BODY = 64 * 1024  # bytes read of an answer's body; with more to come, the connection is closed
_EXCERPT = 200
_SWITCHING = 101


class Silent(Exception):
    """The target has sent nothing for too long."""


class NotHttp(Exception):
    """The answer is not HTTP/1."""


class Ended(Exception):
    """The connection ended before a status. ``nothing_came``: without a byte of an answer."""

    def __init__(self, cause: BaseException | None, *, nothing_came: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.nothing_came = nothing_came


class _Surplus(Exception):
    """There is more than one answer."""


class Connection(asyncio.Protocol):
    """A protocol of asyncio. Parsing is done by llhttp.

    There is one timer for the whole connection: it looks at its limits when the first of them may be reached, so a request
    costs no timer.
    """

    def __init__(self, *, read_seconds: float) -> None:
        """``read_seconds``: how long the target may be silent."""
        self._loop = asyncio.get_running_loop()
        self._read_seconds = read_seconds
        self._transport: asyncio.Transport
        self._parser = HttpResponseParser(self)
        # As browsers do: a target that ends lines with LF alone is understood.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._deadline = self._active_at = 0.0
        self._rest = memoryview(b"")
        self._is_paused = False
        self.is_open = True
        """Whether another request may be sent once the answer has come."""
        self.idle_since = 0.0
        """In seconds of the loop, while a pool has it."""
        self._begin()

    def _begin(self) -> None:
        """Forget the answer before."""
        self._status = 0
        self._kept: dict[bytes, str] = {}
        self._head_bytes = self._unfinished_bytes = self._body_bytes = 0
        self._body = b""
        self._is_complete = self._has_come = False

    async def exchange(self, head: bytes, body: bytes, *, deadline: float) -> Answer:
        """Send a request. Returns its answer, with an incomplete body if the rest does not come.

        ``deadline`` is in seconds of the loop. Raises TimeoutError, Silent, NotHttp and Ended if no status has come.
        """
        self._begin()
        self._deadline, self._active_at = deadline, self._loop.time()
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        if len(body) <= _CHUNK:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._rest = memoryview(body)
            self._write_more()
        self._watch()
        try:
            return await waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None

    def abort(self) -> None:
        """Close the connection at once."""
        self.is_open = False
        self._rest = memoryview(b"")
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():  # an answer to nothing, such as a 408 to a silent client
            self.abort()
            return
        self._active_at = self._loop.time()
        self._has_come = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.is_open = False
            self._is_complete = True
        except HttpParserError as error:
            if not self._is_complete:
                self._fail(NotHttp(str(error)))
                return
            self.is_open = False  # what follows the answer is none
        if not self._status:
            self._unfinished_bytes += len(data)
        if max(self._head_bytes, self._unfinished_bytes) > _MOST_HEAD:
            self._status = 0
            self._fail(NotHttp(f"its header has more than {_MOST_HEAD} bytes"))
        elif self._is_complete:
            self._settle()
        elif self._body_bytes > _MOST_BODY:
            self.is_open = False
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(Ended(exc, nothing_came=not self._has_come))
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._write_more()

    def _write_more(self) -> None:
        """Write the rest of a large body, so that an answer that comes before its end is read."""
        if self._rest and not self._is_paused and self.is_open:
            chunk, self._rest = self._rest[:_CHUNK], self._rest[_CHUNK:]
            self._active_at = self._loop.time()
            self._transport.write(chunk)
            if not self._is_paused:
                self._loop.call_soon(self._write_more)

    def _watch(self) -> None:
        """Give up if a limit is reached; else look again when the next one may be."""
        if self._waiter is None or self._waiter.done():
            return
        limit = min(self._deadline, self._active_at + self._read_seconds)
        now = self._loop.time()
        if now >= limit:
            self._fail(TimeoutError() if now >= self._deadline else Silent())
        elif self._timer is None or self._timer.when() > limit:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(limit, self._look)

    def _look(self) -> None:
        self._timer = None
        self._watch()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_complete:  # an answer to nothing: it is not read any further
            self.is_open = False
            raise _Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        key = name.lower()
        if key in (b"retry-after", b"location", b"content-encoding"):
            self._kept.setdefault(key, value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if len(self._body) < 8 * _EXCERPT:
            self._body += data

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200 and self._status != _SWITCHING:
            self._status, self._kept = 0, {}  # the answer itself follows
        else:
            self._is_complete = True
            self.is_open = self.is_open and self._parser.should_keep_alive()

    # The end of an exchange.

    def _settle(self) -> None:
        if not self.is_open or self._rest:
            self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer())

    def _fail(self, error: Exception) -> None:
        """End the exchange: by the status, if it has come."""
        self.is_open = False
        if self._status:
            self._settle()
            return
        self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _answer(self) -> Answer:
        excerpt = ""
        if self._body and self._kept.get(b"content-encoding", "identity") == "identity":
            excerpt = one_line(self._body[: 8 * _EXCERPT].decode(errors="replace"))
        return Answer(self._status, self._kept.get(b"retry-after"), excerpt, self._kept.get(b"location"))


def one_line(text: str) -> str:
    """The beginning of ``text``, without line breaks and other control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}…"
