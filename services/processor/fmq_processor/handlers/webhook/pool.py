"""Connections that wait for their next request."""

import asyncio
import ssl
from collections import defaultdict, deque

from fmq_processor.handlers.webhook.address import Address
from fmq_processor.handlers.webhook.connection import Connection

_IDLE_SECONDS = 15.0
"""Most servers keep a connection for longer than this."""
_NEXT_FAMILY_SECONDS = 0.25  # RFC 8305, section 5
_Key = tuple[str, ssl.SSLContext | None]


class Pool:
    """Lends connections, by server and TLS context. It belongs to one event loop. Their number is not limited here."""

    def __init__(self, *, connect_seconds: float, read_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: dict[_Key, deque[Connection]] = defaultdict(deque)
        self._sweeper: asyncio.TimerHandle | None = None

    def idle(self, address: Address, context: ssl.SSLContext | None) -> Connection | None:
        """The connection that was used last, if any is left."""
        line = self._idle.get((address.shown, context))
        while line:
            connection = line.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self, address: Address, context: ssl.SSLContext | None, *, deadline: float) -> Connection:
        """A new connection. ``deadline`` is in seconds of the loop. Raises OSError and TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_seconds)):
            _, connection = await loop.create_connection(
                lambda: Connection(read_seconds=self._read_seconds),
                address.server,
                address.port,
                ssl=context,
                happy_eyeballs_delay=_NEXT_FAMILY_SECONDS,
            )
        return connection

    def take_back(self, connection: Connection, address: Address, context: ssl.SSLContext | None) -> None:
        """Keep a connection for the next request, unless it has ended."""
        if connection.is_open:
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle[address.shown, context].append(connection)
            if self._sweeper is None:
                self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has waited for long. The connection that was used last is at the end."""
        loop = asyncio.get_running_loop()
        for key, line in tuple(self._idle.items()):
            while line and (not line[0].is_open or loop.time() - line[0].idle_since >= _IDLE_SECONDS):
                line.popleft().abort()
            if not line:
                del self._idle[key]
        self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep) if self._idle else None

    async def close(self) -> None:
        """Close all that wait."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for line in self._idle.values():
            for connection in line:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn
