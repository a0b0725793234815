"""A publisher that knows what the broker has acknowledged, and goes on through every fault of broker and network.

MQTT 3.1.1 with QoS 1 over a plain socket, many messages a write. A message without PUBACK is sent again on the next
connection, in order, so that each topic's messages come in order if only their first copies count.
"""

import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

_WINDOW = 2_000
_CHUNK = 200
_PAUSE = 0.05
_SILENCE = 10.0


class Publisher(threading.Thread):
    """Publishes ``count`` messages on ``topics`` in turn; the payload begins with the number, then a dot.

    As fast as the broker takes them, but no further than to ``allowed``.
    """

    def __init__(
        self, port: int, topics: Sequence[str], *, count: int, allowed: int | None = None, size: int = 100
    ) -> None:
        super().__init__(name="publisher", daemon=True)
        self._port = port
        self._heads = [struct.pack(">H", len(topic.encode())) + topic.encode() for topic in topics]
        self._count = count
        self.allowed = count if allowed is None else allowed
        self._size = size
        self._next = 0
        self._packet_id = 0
        self._unanswered: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._ending = threading.Event()
        self.acknowledged = 0
        self.connections = 0
        self.sent_again = 0
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether every message is acknowledged."""
        return self.acknowledged >= self._count

    def run(self) -> None:
        try:
            while not self.done and not self._ending.is_set():
                try:
                    self._publish()
                except OSError:
                    self._again.extendleft(sorted(self._unanswered.values(), reverse=True))
                    self.sent_again += len(self._unanswered)
                    self._unanswered.clear()
                    self._ending.wait(_PAUSE)
        except BaseException as error:
            self.error = error
            raise

    def finish(self, deadline: float) -> None:
        """Wait until everything is acknowledged."""
        self.join(deadline)
        assert self.error is None, f"the publisher failed: {self.error!r}"
        assert self.done, f"the broker has acknowledged {self.acknowledged} of {self._count} after {deadline:g} s"

    def stop(self) -> None:
        """Send nothing new any more."""
        self._ending.set()

    def _publish(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = b"chaos-%d" % random.randrange(10**9)
            link.sendall(b"\x10" + bytes((12 + len(name),)) + b"\0\4MQTT\4\2\0\0" + struct.pack(">H", len(name)) + name)
            if link.recv(4) != b"\x20\x02\0\0":
                raise ConnectionError("no CONNACK")
            self.connections += 1
            heard = time.monotonic()
            rest = b""
            while not self.done and not self._ending.is_set():
                if some := self._take(min(_CHUNK, _WINDOW - len(self._unanswered))):
                    link.sendall(some)
                if select.select([link], [], [], 0 if some else 0.005)[0]:
                    data = link.recv(65_536)
                    if not data:
                        raise ConnectionError("the broker ended the connection")
                    rest = self._read(rest + data)
                    heard = time.monotonic()
                elif not self._unanswered:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENCE:
                    raise ConnectionError("the broker is silent")

    def _take(self, most: int) -> bytes:
        out = bytearray()
        taken = 0
        while taken < most:
            if self._again:
                number = self._again.popleft()
            elif self._next < min(self._count, self.allowed):
                number = self._next
                self._next += 1
            else:
                break
            self._packet_id = self._packet_id % 65_535 + 1
            self._unanswered[self._packet_id] = number
            payload = b"%d." % number
            body = (
                self._heads[number % len(self._heads)]
                + struct.pack(">H", self._packet_id)
                + payload.ljust(self._size, b"x")
            )
            out += b"\x32" + remaining_length(len(body)) + body
            taken += 1
        return bytes(out)

    def _read(self, data: bytes) -> bytes:
        whole = len(data) // 4 * 4
        for kind, length, packet_id in struct.iter_unpack(">BBH", data[:whole]):
            if (kind, length) != (0x40, 2):
                raise ConnectionError("no PUBACK")
            if self._unanswered.pop(packet_id, None) is not None:
                self.acknowledged += 1
        return data[whole:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.join(10)


def remaining_length(size: int) -> bytes:
    """A variable byte integer (MQTT 5, section 1.5.5)."""
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)
