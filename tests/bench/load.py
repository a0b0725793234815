"""A publisher that costs little: bytes made beforehand, and PUBACKs only counted.

As a program it publishes at a fixed rate and prints how many it sent: ``load.py PORT RATE SECONDS``.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.measure import TOPIC, reading

_WINDOW = 1_000
_STEP = 0.005
_PUBACK_BYTES = 4
_READING_BYTES = 120


class Publisher:
    """Publishes with QoS 1 and at most ``_WINDOW`` messages that are not acknowledged."""

    def __init__(self, port: int, *, v5: bool = False) -> None:
        self._v5 = v5
        self._number = 0
        self._unread = 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"\0\4MQTT" + bytes((5 if v5 else 4, 2, 0, 0)) + (b"\0" if v5 else b"") + b"\0\7bench-p"
        self._socket.sendall(b"\x10" + bytes((len(body),)) + body)
        self._answers = self._socket.makefile("rb")
        head = self._answers.read(2)
        answer = self._answers.read(head[1])
        assert head[0] == 0x20, "no CONNACK"
        assert answer[1] == 0, f"refused: {answer[1]}"

    def send(self, payloads: Sequence[bytes], properties: bytes = b"", topics: int = 0) -> None:
        """Send these; ``properties`` are encoded, without their length. With ``topics``, to this number of topics below TOPIC in turn."""
        section = bytes((len(properties),)) + properties if self._v5 else b""
        out = bytearray()
        for payload in payloads:
            self._number = self._number % 65_535 + 1
            name = f"{TOPIC}/{self._number % topics}" if topics else TOPIC
            topic = struct.pack(">H", len(name)) + name.encode()
            body = topic + struct.pack(">H", self._number) + section + payload
            out += b"\x32" + _length(len(body)) + body
        self._socket.sendall(out)
        self._unread += len(payloads)
        self._read(_WINDOW)

    def finish(self) -> None:
        """Wait until everything is acknowledged."""
        self._read(0)

    def _read(self, left: int) -> None:
        while self._unread > left:
            wanted = (self._unread - left) * _PUBACK_BYTES
            answer = self._answers.read(wanted)
            assert len(answer) == wanted, "the broker ended the connection"
            assert answer[:2] == b"\x40\x02", f"no plain PUBACK: {answer[:4].hex()}"
            self._unread = left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._answers.close()
        self._socket.close()


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)


def user_property(name: str, value: str) -> bytes:
    """One, encoded (MQTT 5, section 3.3.2.3.7)."""
    return b"\x26" + b"".join(struct.pack(">H", len(text)) + text.encode() for text in (name, value))


def publish(port: int, payloads: Iterable[bytes], *, properties: bytes = b"", topics: int = 0) -> None:
    """Publish all of these and wait for the broker's acknowledgement; with properties in MQTT 5."""
    waiting = iter(payloads)
    with Publisher(port, v5=bool(properties)) as publisher:
        while some := list(islice(waiting, 500)):
            publisher.send(some, properties, topics)
        publisher.finish()


def publish_at(port: int, rate: float, seconds: float) -> int:
    """Publish at ``rate`` messages a second as long as the broker takes them; returns how many."""
    sent = 0
    begin = time.perf_counter()
    with Publisher(port) as publisher:
        while (passed := time.perf_counter() - begin) < seconds:
            due = int(passed * rate)
            while sent < due:
                some = min(500, due - sent)
                publisher.send([reading(number, _READING_BYTES) for number in range(sent, sent + some)])
                sent += some
            time.sleep(_STEP)
        publisher.finish()
    return sent


if __name__ == "__main__":
    sys.stdout.write(str(publish_at(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
