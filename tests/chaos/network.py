"""A network between listener and broker that delays, throttles, stalls, swallows acknowledgements, and cuts within packets."""

import contextlib
import socket
import threading
import time
from typing import Self

_READ = 65_536
_TICK = 0.02
_PUBACK = 0x40


class Network:
    """Takes connections on ``port`` and passes bytes on to the broker's port, as its attributes say at each moment."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.delay = 0.0
        """Seconds, before each piece of data."""
        self.rate: float | None = None
        """Bytes a second, each way."""
        self.stalled = False
        """No bytes pass, and neither side notices."""
        self.swallows = False
        """Every PUBACK of the listener vanishes."""
        self.refuses = False
        """New connections end at once."""
        self.swallowed = 0
        self.cuts = 0
        self.connections = 0
        self._cut_in: int | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection now."""
        self.cuts += 1
        for pair in self._pairs:
            for one in pair:
                _end(one)

    def cut_within(self, size: int) -> None:
        """End the connection when ``size`` more bytes have gone to the listener: most likely in the middle of a packet."""
        self._cut_in = size

    @property
    def cut_is_due(self) -> bool:
        """Whether the cut that was asked for has not happened yet."""
        return self._cut_in is not None

    def heal(self) -> None:
        """Be a good network again."""
        self.delay, self.rate = 0.0, None
        self.stalled = self.swallows = self.refuses = False
        self._cut_in = None

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
            if self.refuses:
                client.close()
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                client.close()
                continue
            for one in (client, broker):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._pairs.append((client, broker))
            self._run(self._pump, client, broker, True)
            self._run(self._pump, broker, client, False)

    def _pump(self, source: socket.socket, target: socket.socket, to_broker: bool) -> None:  # noqa: FBT001
        try:
            while data := source.recv(_READ):
                while self.stalled and not self._closing:
                    time.sleep(_TICK)
                if self.delay:
                    time.sleep(self.delay)
                if self.rate:
                    time.sleep(len(data) / self.rate)
                if to_broker and self.swallows:
                    data = self._without_acknowledgements(data)
                if not to_broker and self._cut_in is not None:
                    if len(data) > self._cut_in:
                        target.sendall(data[: self._cut_in])
                        self._cut_in = None
                        self.cuts += 1
                        return
                    self._cut_in -= len(data)
                target.sendall(data)
        except OSError:
            pass
        finally:
            _end(source)
            _end(target)

    def _without_acknowledgements(self, data: bytes) -> bytes:
        """Of what a listener sends: PUBACKs of four bytes, and little else."""
        kept = bytearray()
        at = 0
        while at < len(data):
            size = 2 + (data[at + 1] if at + 1 < len(data) else 0)
            if data[at] == _PUBACK:
                self.swallowed += 1
            else:
                kept += data[at : at + size]
            at += size
        return bytes(kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing = True
        _end(self._server)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for pair in self._pairs:
            for one in pair:
                one.close()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
