"""Connections with limits in time and number, on top of uvicorn's."""

import asyncio
import socket
from contextlib import suppress
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fmq_web.http.headers import ALWAYS

MOST_CONNECTIONS = 200
HEAD_SECONDS = 10.0
BLOCKED_SECONDS = 30.0


class Connection(H11Protocol):
    """A connection whose client is neither slow without end nor stuck.

    It is closed if the head of a request is not complete after ``head_seconds``, and if for ``blocked_seconds`` the client takes
    no byte of what is sent. A slow client that takes some bytes stays.
    """

    most = MOST_CONNECTIONS
    head_seconds = HEAD_SECONDS
    blocked_seconds = BLOCKED_SECONDS
    _late: asyncio.TimerHandle | None = None
    _since = 0.0
    """The beginning of the connection, or the end of its last answer, by the loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        _limit_blocking(transport, self.blocked_seconds)
        if len(self.connections) >= self.most:
            self._make_room(transport)
        super().connection_made(transport)
        self._since = self.loop.time()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._expect_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()
        if self._lacks_body:  # the rest of a body that nobody reads
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, with the headers that every answer has. Within a request it ends the request, too."""
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close"), *ALWAYS.items()]
        with suppress(h11.LocalProtocolError):  # within an answer there can't be another
            for event in (
                h11.Response(status_code=400, headers=headers, reason="Bad Request"),
                h11.Data(data=f"{msg}\n".encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self._is_answering:  # the application must not answer a second time
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    @property
    def _is_answering(self) -> bool:
        # uvicorn's types hide that there is none before the first request
        cycle = cast("object | None", self.cycle)
        return cycle is not None and not self.cycle.response_complete

    @property
    def _lacks_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self._close_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close_late(self) -> None:
        self._late = None
        if not self._is_answering:
            self.transport.abort()

    def _make_room(self, transport: asyncio.Transport) -> None:
        """The connection that has waited for its client for longest gives way, or else the new one.

        First those without a request, then those whose request has not come completely.
        """
        waiting = [
            other
            for other in self.connections
            if isinstance(other, Connection) and (not other._is_answering or other._lacks_body)  # noqa: SLF001 - of this class
        ]
        if not waiting:
            transport.abort()
            return
        longest = min(waiting, key=lambda one: (one._is_answering, one._since))  # noqa: SLF001 - of this class
        longest.transport.abort()
        self.connections.discard(longest)


def _limit_blocking(transport: asyncio.Transport, seconds: float) -> None:
    """Linux itself ends a connection whose peer acknowledges nothing, or keeps its window closed, for so long: tcp(7)."""
    one: socket.socket | None = transport.get_extra_info("socket")
    option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    if one is not None and option is not None:
        with suppress(OSError):
            one.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))
