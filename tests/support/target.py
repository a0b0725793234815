"""An HTTP server that does what a test tells it to, byte by byte, in a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Self


class Request(NamedTuple):
    """What came in; the names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection(NamedTuple):
    """Where the answer goes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self, status: str = "200 OK", *headers: str, body: bytes = b"") -> None:
        """A proper answer, after which the connection is kept alive."""
        head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""])
        await self.send(head.encode() + body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        self.writer.transport.abort()

    async def wait_for_its_end(self) -> None:
        """Wait until the client has closed the connection."""
        await self.reader.read()


Respond = Callable[[Request, Connection], Awaitable[None]]


class Target:
    """Serves on a free port of 127.0.0.1. ``respond`` is called for each request; it may do what it likes."""

    def __init__(self, respond: Respond | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self._respond = respond or _say_yes
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="target")
        self._server: asyncio.Server
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None and not writer.is_closing():
                self.requests.append(request)
                await self._respond(request, Connection(reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            with suppress(ConnectionError):
                writer.close()


async def _say_yes(_: Request, connection: Connection) -> None:
    await connection.answer()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
