"""A program: an HTTP server that writes down what it gets before it answers. Arguments: port (0: any), file.

It prints its port. Each line of the file is a webhook-id and a body, which have no spaces.
"""

import asyncio
import os
import sys
from pathlib import Path


class Receiver(asyncio.Protocol):
    """One connection, with requests that have a Content-Length."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            lines = self._received[:end].decode("latin-1").lower().split("\r\n")[1:]
            headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers["content-length"])
            if len(self._received) < end + length:
                return
            body, self._received = self._received[end : end + length], self._received[end + length :]
            os.write(self._file, b"%s %s\n" % (headers["webhook-id"].encode(), body))
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def main(port: int, path: Path) -> None:
    """Serve until killed."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(file), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
