"""A broker in a cloud, on loopback: TLS with SNI and ALPN, WebSocket, and limits that end the connection when broken.

It is written from the documents of the clouds (``support.clouds``), and speaks as much MQTT as fmq does.
"""

import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trustme

from support import scripted_broker as mqtt

HOST = "broker.example.com"
_SECONDS = 30.0
_WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
QOS_NOT_SUPPORTED, QUOTA, TOO_LARGE, FILTER_INVALID, PROTOCOL_ERROR = 0x9B, 0x97, 0x95, 0x8F, 0x82


class Broken(Exception):
    """A demand is not met: the reason code that goes out, and words for the test."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Demands:
    """What a client must keep to. Sizes are in bytes, times in seconds."""

    alpn: str | None = None
    certificate: bool = False
    upgrade: Callable[[str, Mapping[str, str]], bool] | None = None
    """Whether the request for a WebSocket is accepted, by its target and headers (lower case); None: plain MQTT."""
    login: Callable[[str | None, str | None], bool] = lambda _user, _password: True
    connack: bytes = b""
    """Properties of CONNACK."""
    client_id: int = 65_535
    filters_per_packet: int = 65_535
    filters: int = 65_535
    slashes: int = 65_535
    topic: int = 65_535
    packet: int = 268_435_455
    identifiers: bool = True
    retain: bool = True
    keepalive: range = range(65_536)


@dataclass
class Seen:
    """What has come, in order."""

    clients: list[str] = field(default_factory=list)
    users: list[str | None] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    pings: int = 0
    broken: list[str] = field(default_factory=list)


class Cloud:
    """Serves connections until it is left; ``ca`` verifies it. ``seen`` may be read from any thread."""

    def __init__(self, folder: Path, demands: Demands, *, waiting: tuple[tuple[str, bytes], ...] = ()) -> None:
        """``waiting`` are messages for the first subscription of each connection, until they are acknowledged."""
        self.demands = demands
        self.seen = Seen()
        self._waiting = list(waiting)
        authority = trustme.CA()
        self.ca, self.cert, self.key = (folder / name for name in ("ca.pem", "client.pem", "client.key"))
        authority.cert_pem.write_to_path(str(self.ca))
        client = authority.issue_cert("fmq-device")
        client.cert_chain_pems[0].write_to_path(str(self.cert))
        client.private_key_pem.write_to_path(str(self.key))
        self._context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)
        authority.configure_trust(context)
        if demands.certificate:
            context.verify_mode = ssl.CERT_REQUIRED
        if demands.alpn:
            context.set_alpn_protocols([demands.alpn])
        context.sni_callback = self._require_name
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _require_name(self, _sock: object, name: str | None, _context: object) -> int | None:
        if name == HOST:
            return None
        self.seen.broken.append(f"SNI {name}")
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(_SECONDS)
        with suppress(OSError, EOFError), self._context.wrap_socket(raw, server_side=True) as sock:
            if self.demands.alpn and sock.selected_alpn_protocol() != self.demands.alpn:
                self.seen.broken.append(f"ALPN {sock.selected_alpn_protocol()}")
                return
            stream: Any = sock
            if self.demands.upgrade is not None:
                stream = _WebSocket(sock, self._take)
            _Talk(stream, self.demands, self.seen, self._waiting).run()

    def _take(self, target: str, headers: Mapping[str, str]) -> bool:
        self.seen.targets.append(target)
        return self.demands.upgrade is not None and self.demands.upgrade(target, headers)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in (self._server, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(_SECONDS)


class _Talk:
    """One connection, after TLS and WebSocket."""

    def __init__(self, stream: Any, demands: Demands, seen: Seen, waiting: list[tuple[str, bytes]]) -> None:  # noqa: ANN401 - a socket or what reads and writes as one
        self._connection = mqtt.Connection(stream)
        self._demands, self._seen, self._waiting = demands, seen, waiting
        self._filters: set[str] = set()
        self._sent: dict[int, tuple[str, bytes]] = {}
        self._v5 = True

    def run(self) -> None:
        try:
            first, body = self._connection.read()
            try:
                self._connect(body)
            except Broken as refusal:
                self._connection.send(mqtt.packet(mqtt.CONNACK, bytes([0, refusal.code, 0] if self._v5 else [0, 5])))
                raise
            properties = mqtt.length(len(self._demands.connack)) + self._demands.connack if self._v5 else b""
            self._connection.send(mqtt.packet(mqtt.CONNACK, b"\0\0" + properties))
            while first & 0xF0 != mqtt.DISCONNECT:
                first, body = self._connection.read()
                self._answer(first, body)
        except Broken as broken:
            self._seen.broken.append(str(broken))
            if self._v5:
                self._connection.send(mqtt.packet(mqtt.DISCONNECT, bytes([broken.code])))

    def _connect(self, body: bytes) -> None:
        self._v5 = body[6] == 5
        flags, keepalive, at = body[7], int.from_bytes(body[8:10], "big"), 10
        if self._v5:
            at += 1 + body[at]
        client_id, at = _string(body, at)
        user, at = _string(body, at) if flags & 0x80 else (None, at)
        password, at = _string(body, at) if flags & 0x40 else (None, at)
        self._seen.clients.append(client_id or "")
        self._seen.users.append(user)
        if not client_id or len(client_id.encode()) > self._demands.client_id:
            raise Broken(0x85, f"client id {client_id!r}")
        if not self._demands.login(user, password):
            raise Broken(0x87, f"login of {user!r}")
        if keepalive not in self._demands.keepalive:
            raise Broken(PROTOCOL_ERROR, f"keep-alive {keepalive}")

    def _answer(self, first: int, body: bytes) -> None:
        if len(body) > self._demands.packet:
            raise Broken(TOO_LARGE, f"a packet of {len(body)} bytes")
        match first & 0xF0:
            case 0x80:
                self._subscribe(body)
            case 0xA0:
                self._connection.send(mqtt.packet(mqtt.UNSUBACK, body[:2] + (b"\0\0" if self._v5 else b"")))
            case 0x30:
                self._publish(first, body)
            case 0x40:
                packet_id = int.from_bytes(body[:2], "big")
                self._seen.acknowledged.append(packet_id)
                self._waiting.remove(self._sent[packet_id])
            case 0xC0:
                self._seen.pings += 1
                self._connection.send(b"\xd0\0")

    def _subscribe(self, body: bytes) -> None:
        at, asked = 2, []
        if self._v5:
            if body[2] and not self._demands.identifiers:
                raise Broken(0xA1, "a subscription identifier")
            at += 1 + body[2]
        while at < len(body):
            text, at = _string(body, at)
            asked.append(text or "")
            if body[at] & 3 > 1:
                raise Broken(QOS_NOT_SUPPORTED, f"QoS 2 for {text}")
            at += 1
        if len(asked) > self._demands.filters_per_packet:
            raise Broken(QUOTA, f"{len(asked)} filters in one SUBSCRIBE")
        if any(one.startswith("$SYS") for one in asked):
            raise EOFError  # no cloud has it, and AWS ends the connection
        for one in asked:
            self._require_topic(one.removeprefix("$share/").partition("/")[2] if one.startswith("$share/") else one)
        self._filters.update(asked)
        self._seen.filters += asked
        if len(self._filters) > self._demands.filters:
            raise Broken(QUOTA, f"{len(self._filters)} subscriptions")
        granted = body[:2] + (b"\0" if self._v5 else b"") + b"\x01" * len(asked)
        self._connection.send(mqtt.packet(mqtt.SUBACK, granted))
        if not self._sent:
            self._sent = dict(enumerate(self._waiting, 1))
            for number, (topic, payload) in self._sent.items():
                properties = b"" if self._v5 else None
                self._connection.send(mqtt.publish(topic, payload, packet_id=number, properties=properties))

    def _require_topic(self, topic: str) -> None:
        if topic.count("/") > self._demands.slashes or len(topic.encode()) > self._demands.topic:
            raise Broken(FILTER_INVALID, f"the topic {topic}")

    def _publish(self, first: int, body: bytes) -> None:
        topic, at = _string(body, 0)
        if first & 6 > 2:
            raise Broken(QOS_NOT_SUPPORTED, f"QoS 2 on {topic}")
        if first & 1 and not self._demands.retain:
            raise Broken(0x9A, f"a retained message on {topic}")
        self._require_topic(topic or "")
        packet_id, at = body[at : at + 2], at + 2
        if self._v5:
            at += 1 + body[at]  # fmq's own properties are short here
        self._seen.published.append((topic or "", body[at:]))
        self._connection.send(mqtt.packet(mqtt.PUBACK, packet_id))


def _string(body: bytes, at: int) -> tuple[str | None, int]:
    size = int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : at + 2 + size].decode(), at + 2 + size


class _WebSocket:
    """Reads and writes as a socket does, within frames (RFC 6455)."""

    def __init__(self, sock: ssl.SSLSocket, take: Callable[[str, Mapping[str, str]], bool]) -> None:
        """Raises EOFError after a request that ``take`` refuses."""
        self._sock = sock
        request = b""
        while b"\r\n\r\n" not in request:
            request += self._some()
        lines = request.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        if not take(lines[0].split(" ")[1], headers):
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            raise EOFError
        key = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + _WEBSOCKET).encode()).digest()).decode()  # noqa: S324 - RFC 6455 has it so
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + key.encode() + b"\r\n\r\n"
        )
        self._data = request.partition(b"\r\n\r\n")[2]

    def _some(self) -> bytes:
        data = self._sock.recv(65_536)
        if not data:
            raise EOFError
        return data

    def _exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            self._data += self._some()
        found, self._data = self._data[:size], self._data[size:]
        return found

    def recv(self, _size: int) -> bytes:
        head = self._exactly(2)
        if head[0] & 15 == 8:
            return b""
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        mask = self._exactly(4)
        return bytes(byte ^ mask[place % 4] for place, byte in enumerate(self._exactly(size)))

    def sendall(self, data: bytes) -> None:
        size = len(data)
        head = bytes([0x82, size]) if size < 126 else b"\x82\x7e" + size.to_bytes(2, "big")
        self._sock.sendall(head + data)
