"""A broker that does what a test's script says, packet by packet: for what no real broker does on demand."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from support.processes import FmqProcess, Processes

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT = 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xE0
_SECONDS = 30.0


def length(number: int) -> bytes:
    """A variable byte integer (MQTT 5, section 1.5.5)."""
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (128 if number else 0))
        if not number:
            return bytes(encoded)


def packet(first: int, body: bytes) -> bytes:
    """A whole packet with this first byte."""
    return bytes([first]) + length(len(body)) + body


def text(value: str | bytes) -> bytes:
    """A string or binary data with its length (MQTT 5, sections 1.5.4 and 1.5.6)."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def user_property(name: str | bytes, value: str | bytes) -> bytes:
    """One user property (MQTT 5, section 3.3.2.3.7)."""
    return b"\x26" + text(name) + text(value)


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    *,
    packet_id: int = 1,
    qos: int = 1,
    properties: bytes | None = b"",
    dup: bool = False,
    section: bytes | None = None,
) -> bytes:
    """A PUBLISH; ``properties`` None for MQTT 3.1.1. ``section`` is sent in place of the properties and their length."""
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    if section is not None:
        body += section
    elif properties is not None:
        body += length(len(properties)) + properties
    return packet(PUBLISH | qos << 1 | (8 if dup else 0), body + payload)


class Connection:
    """One connection of the listener."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""
        self.v5 = True
        self.connect = b""
        """The body of its CONNECT."""

    def read(self) -> tuple[int, bytes]:
        """The next packet: its first byte and what follows the length. Raises EOFError at the end."""
        at = 1
        while not self._has(at + 1) or self._data[at] > 127:
            at += self._has(at + 1) or self._receive()
        size = sum((byte & 127) << 7 * place for place, byte in enumerate(self._data[1 : at + 1]))
        while not self._has(at + 1 + size):
            self._receive()
        first, body = self._data[0], self._data[at + 1 : at + 1 + size]
        self._data = self._data[at + 1 + size :]
        return first, body

    def _has(self, size: int) -> bool:
        return len(self._data) >= size

    def _receive(self) -> int:
        data = self._sock.recv(65_536)
        if not data:
            raise EOFError
        self._data += data
        return 0

    def read_until(self, kind: int) -> bytes:
        """Answer what has to be answered until a packet of this kind comes; its body."""
        while True:
            first, body = self.read()
            self._answer(first, body)
            if first & 0xF0 == kind & 0xF0:
                return body

    def send(self, *packets: bytes) -> None:
        self._sock.sendall(b"".join(packets))

    def _answer(self, first: int, body: bytes) -> None:
        if first == SUBSCRIBE:
            self.send(packet(SUBACK, body[:2] + (b"\0" if self.v5 else b"") + b"\x01"))
        elif first == UNSUBSCRIBE:
            self.send(packet(UNSUBACK, body[:2] + (b"\0\0" if self.v5 else b"")))
        elif first == PINGREQ:
            self.send(b"\xd0\0")

    def accept(self, *, session_present: bool = False, properties: bytes = b"") -> None:
        """Answer CONNECT; SUBSCRIBE is answered when it comes, by whatever reads next."""
        self.connect = self.read_until(CONNECT)
        self.v5 = self.connect[6] == 5
        body = bytes([session_present, 0]) + (length(len(properties)) + properties if self.v5 else b"")
        self.send(packet(CONNACK, body))

    def answers(self, count: int) -> list[tuple[int, int]]:
        """The next ``count`` of PUBACK, PUBREC and PUBCOMP: first byte and packet identifier."""
        found: list[tuple[int, int]] = []
        while len(found) < count:
            first, body = self.read()
            self._answer(first, body)
            if first in (PUBACK, PUBREC, PUBCOMP):
                found.append((first, int.from_bytes(body[:2], "big")))
        return found

    def serve(self) -> None:
        """Answer whatever has to be answered until the listener ends the connection."""
        try:
            while self.read_until(DISCONNECT) is None:
                pass
        except EOFError:
            pass


Script = Callable[[Connection], None]


class ScriptedBroker:
    """Runs one script for each connection, in order; the last one for all that follow. Errors are raised at the end."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._server = socket.create_server(("127.0.0.1", 0))
        self._stopped = False
        self._open: list[socket.socket] = []
        self.connections = 0
        self.errors: list[Exception] = []
        self.port: int = self._server.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stopped:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self._open.append(sock)
            sock.settimeout(_SECONDS)
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            with sock:
                try:
                    script(Connection(sock))
                except (EOFError, ConnectionError) as error:
                    if not self._stopped:
                        self.errors.append(error)
                except Exception as error:  # noqa: BLE001 - told by the test's own thread
                    self.errors.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        for sock in (self._server, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # which also ends accept() in the other thread
        self._server.close()
        self._thread.join(_SECONDS)


def send_raw(port: int, *packets: bytes) -> None:
    """Publish ready-made packets of QoS 1 (MQTT 5) to a real broker on one connection; returns when all are acknowledged."""
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as sock:
        connection = Connection(sock)
        connection.send(packet(CONNECT, text("MQTT") + b"\x05\x02\0\x3c\0" + text("")))
        connection.read_until(CONNACK)
        connection.send(*packets)
        connection.answers(len(packets))


def listen(fmq: Processes, broker: ScriptedBroker, *topics: str, **more: object) -> FmqProcess:
    """A listener of that broker with a client id of its own, which connects again at once."""
    return fmq.start(
        "listen", *topics, FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="L", **({"FMQ_RECONNECT_MAX_SECONDS": "0.2"} | more)
    )


def none(version: str) -> bytes | None:
    """No properties, as a PUBLISH of this version has them."""
    return b"" if version == "5" else None
