"""A TCP proxy before a server that loses a reply: the server has acted, and the client does not know."""

import contextlib
import socket
import threading
from typing import Self

_READ = 65_536


class LossyProxy:
    """Passes everything on, except the next reply after ``lose_next_reply``, with which the connection ends."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.lost = threading.Event()
        self._loses: bytes | None = None
        self._part: bytes | None = None
        self._sockets: list[socket.socket] = [self._server]
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def lose_next_reply(self, having: bytes = b"") -> None:
        """Lose the next reply with ``having`` in it."""
        self.lost.clear()
        self._loses = having

    def lose_reply_to(self, part: bytes) -> None:
        """Lose the reply to the next request that has ``part`` in it."""
        self.lost.clear()
        self._part = part

    def cut(self) -> None:
        """End all connections at once; the server goes on with what it was asked."""
        for one in self._sockets[1:]:
            _end(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # it is down
                client.close()
                continue
            self._sockets += [client, server]
            doomed = threading.Event()
            self._run(self._pump, client, server, False, doomed)
            self._run(self._pump, server, client, True, doomed)

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        is_reply: bool,  # noqa: FBT001
        doomed: threading.Event,
    ) -> None:
        """``doomed``: the next reply of this connection is lost."""
        with contextlib.suppress(OSError):
            while data := source.recv(_READ):
                if not is_reply and self._part is not None and self._part in data:
                    self._part = None
                    doomed.set()
                if is_reply and (doomed.is_set() or (self._loses is not None and self._loses in data)):
                    self._loses = None
                    self.lost.set()
                    break
                target.sendall(data)
        _end(source)
        _end(target)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
