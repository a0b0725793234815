"""A broker of the tests' own that talks to one listener: it says what a test wants it to, right or wrong, and fast.

Speaks enough MQTT (5 and 3.1.1) for a listener: CONNACK, SUBACK, UNSUBACK and PINGRESP as they should be.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Self

from chaos.publisher import remaining_length
from support.proxy import first_packet

_READ = 65_536


def publish_packet(topic: str, payload: bytes, packet_id: int, *, v5: bool = True, properties: bytes = b"") -> bytes:
    """A PUBLISH of QoS 1; ``properties`` are encoded, without their length."""
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + struct.pack(">H", packet_id)
    if v5:
        body += remaining_length(len(properties)) + properties
    body += payload
    return b"\x32" + remaining_length(len(body)) + body


class Peer:
    """One connection of a listener, subscribed. ``acknowledged`` are the packet ids of its PUBACKs, in order."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.acknowledged: list[int] = []
        self.is_over = False
        self._v5 = True
        self.subscribed = threading.Event()
        self.unsubscribed = threading.Event()
        self.connected = threading.Event()
        self._more = threading.Condition()

    def read(self, *, connack: bytes, suback: Callable[[bytes], int]) -> None:
        """Answer until the connection ends."""
        buffer = bytearray()
        try:
            while data := self.link.recv(_READ):
                buffer += data
                if ids := _acknowledgements(buffer):
                    self._note(ids)
                    buffer.clear()
                while found := first_packet(buffer):
                    raw, body = bytes(buffer[: found[1]]), bytes(buffer[found[0] : found[1]])
                    del buffer[: found[1]]
                    self._answer(raw[0] >> 4, body, connack=connack, suback=suback)
        except OSError:
            pass
        finally:
            with self._more:
                self.is_over = True
                self._more.notify_all()
            self.close()

    def _answer(self, kind: int, body: bytes, *, connack: bytes, suback: Callable[[bytes], int]) -> None:
        match kind:
            case 1:
                self._v5 = body[6] == 5
                self.link.sendall(connack or (b"\x20\x03\0\0\0" if self._v5 else b"\x20\x02\0\0"))
                self.connected.set()
            case 8:
                self.link.sendall(self._suback(body, suback, v5=self._v5))
                self.subscribed.set()
            case 10:
                self.unsubscribed.set()
                self.link.sendall(b"\xb0\x04" + body[:2] + b"\0\0" if self._v5 else b"\xb0\x02" + body[:2])
            case 12:
                self.link.sendall(b"\xd0\0")
            case 4:
                self._note([int.from_bytes(body[:2])])

    def _note(self, ids: Sequence[int]) -> None:
        with self._more:
            self.acknowledged.extend(ids)
            self._more.notify_all()

    @staticmethod
    def _suback(body: bytes, suback: Callable[[bytes], int], *, v5: bool) -> bytes:
        at = 2 + (1 + body[2] if v5 else 0)
        codes = bytearray()
        while at < len(body):
            end = at + 2 + int.from_bytes(body[at : at + 2])
            codes.append(suback(body[at + 2 : end]))
            at = end + 1
        answer = body[:2] + (b"\0" if v5 else b"") + codes
        return b"\x90" + remaining_length(len(answer)) + answer

    def await_acknowledged(self, count: int, seconds: float) -> bool:
        """Wait until this number of PUBACKs has come (True) or the connection has ended (False)."""
        with self._more:
            self._more.wait_for(lambda: len(self.acknowledged) >= count or self.is_over, seconds)
            return len(self.acknowledged) >= count

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()


def _acknowledgements(buffer: bytearray) -> Sequence[int]:
    """The packet ids of ``buffer`` if nothing but whole PUBACKs of four bytes is in it: the usual case, many at once."""
    count, rest = divmod(len(buffer), 4)
    if rest or buffer[0::4].count(0x40) != count or buffer[1::4].count(2) != count:
        return ()
    return [one & 0xFFFF for one in struct.unpack(f">{count}I", buffer)]


class Firehose:
    """Listens; gives each connection, once it is subscribed, to ``talk``. ``connack`` is sent instead of a good one,
    ``suback`` maps each topic filter to its reason code.

    Without ``needs_subscription`` it talks as soon as it has answered CONNECT.
    """

    def __init__(
        self,
        talk: Callable[[Peer], None],
        *,
        connack: bytes = b"",
        suback: Callable[[bytes], int] = lambda _: 1,
        needs_subscription: bool = True,
    ) -> None:
        self._talk = talk
        self._needs_subscription = needs_subscription
        self.connack = connack
        self.suback = suback
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.connections = 0
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._peers: list[Peer] = []
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def _run(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            peer = Peer(link)
            self._peers.append(peer)
            self._run(lambda peer=peer: peer.read(connack=self.connack, suback=self.suback))  # type: ignore[misc]
            self._run(lambda peer=peer: self._serve(peer))  # type: ignore[misc]

    def _serve(self, peer: Peer) -> None:
        if not (peer.subscribed if self._needs_subscription else peer.connected).wait(10):
            return
        try:
            self._talk(peer)
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test, whose thread this is not
            self.errors.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._peers:
            peer.close()
        for thread in self._threads:
            thread.join(10)
