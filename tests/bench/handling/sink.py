"""A program: an HTTP server that costs little and says 204 to each request. Prints its port."""

import asyncio
import sys

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = b"content-length:"


class _Sink(asyncio.Protocol):
    """One connection. All requests have the same form, so their length is looked for by plain search."""

    def __init__(self) -> None:
        self._left = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        left, answered = self._left + data, 0
        while (end := left.find(b"\r\n\r\n") + 4) > 3:
            head = left[:end].lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            end += int(head[at : head.index(b"\r", at)])
            if len(left) < end:
                break
            left, answered = left[end:], answered + 1
        self._left = left
        if answered:
            self._transport.write(_ANSWER * answered)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", 0, backlog=1_000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
