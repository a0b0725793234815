"""A TCP proxy between a listener and its broker that sees whole MQTT packets, and can change or cut them."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT = 3, 4, 8, 9, 10, 11, 14
_READ = 65_536


@dataclass(frozen=True, slots=True)
class Packet:
    """One MQTT packet on its way. ``connection`` counts from 1; ``body`` is what follows the fixed header."""

    connection: int
    to_broker: bool
    raw: bytes
    body: bytes

    @property
    def kind(self) -> int:
        return self.raw[0] >> 4

    @property
    def qos(self) -> int:
        return self.raw[0] >> 1 & 3

    @property
    def topic(self) -> bytes:
        """Of a PUBLISH."""
        return self.body[2 : 2 + int.from_bytes(self.body[:2])]

    @property
    def packet_id(self) -> int:
        """Of a PUBLISH with QoS 1, or any other packet that has one."""
        at = 2 + len(self.topic) if self.kind == PUBLISH else 0
        return int.from_bytes(self.body[at : at + 2])


Watch = Callable[[Packet], bytes | None]
"""Sees each packet before it goes on; returns what to send in its place, or None to cut the connection."""


class Proxy:
    """Listens on ``port`` and passes everything on to the broker's port, packet by packet."""

    def __init__(self, broker_port: int, watch: Watch = lambda packet: packet.raw) -> None:
        self._broker_port = broker_port
        self._watch = watch
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.connections = 0
        self.errors: list[BaseException] = []
        self._sockets: list[socket.socket] = []
        self._open: set[tuple[int, bool]] = set()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def idle(self) -> bool:
        """Whether no connection is open."""
        return not self._open

    def target(self, broker_port: int) -> None:
        """Connect to another broker from now on, and end the connections to the first."""
        self._broker_port = broker_port
        self.cut()

    def cut(self) -> None:
        """End all connections at once; new ones are taken."""
        for one in self._sockets:
            _end(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        _end(self._server)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._sockets.append(client)
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                _end(client)
                continue
            self._sockets.append(broker)
            self.connections += 1
            self._run(self._pump, client, broker, self.connections, True)
            self._run(self._pump, broker, client, self.connections, False)

    def _pump(self, source: socket.socket, target: socket.socket, connection: int, to_broker: bool) -> None:  # noqa: FBT001
        self._open.add((connection, to_broker))
        try:
            for raw, body in packets(source):
                passed = self._watch(Packet(connection, to_broker, raw, body))
                if passed is None:
                    break
                target.sendall(passed)
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test, whose thread this is not
            self.errors.append(error)
        finally:
            _end(source)
            _end(target)
            self._open.discard((connection, to_broker))


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def packets(source: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Every packet that comes, whole, and its body (what follows the fixed header), until the end."""
    buffer = bytearray()
    while data := source.recv(_READ):
        buffer += data
        while found := first_packet(buffer):
            start, end = found
            raw = bytes(buffer[:end])
            del buffer[:end]
            yield raw, raw[start:]


def first_packet(buffer: bytearray) -> tuple[int, int] | None:
    """Where the body of the first packet starts and ends, or None if it is not complete."""
    length = 0
    for index in range(1, min(5, len(buffer))):
        length |= (buffer[index] & 127) << 7 * (index - 1)
        if buffer[index] < 128:
            end = index + 1 + length
            return (index + 1, end) if len(buffer) >= end else None
    return None
