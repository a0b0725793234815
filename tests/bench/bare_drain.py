"""A reader that does as little as one can do, in a process of its own: takes a session's backlog and tells how long it took.

It steps over the packets of each read without looking at topic or payload, and acknowledges all of them at once. With a path
it first appends what it has read to that file and syncs it: what durability costs without a database. Arguments: port, client
id, topic filter, Receive Maximum, how many messages, and a path or nothing. With 0 messages it only makes the session. MQTT 5.
"""

import os
import socket
import struct
import sys
import time
from pathlib import Path

_READ_BYTES = 1024 * 1024
_ACKNOWLEDGE = 0x4002_0000


class BareReader:
    """One connection."""

    def __init__(self, port: int, client_id: str, topic: str, receive_maximum: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        properties = struct.pack(">BIBH", 0x11, 3_600, 0x21, receive_maximum)
        name = client_id.encode()
        body = b"\0\4MQTT\5\0\0\0" + bytes((len(properties),)) + properties + struct.pack(">H", len(name)) + name
        self._socket.sendall(b"\x10" + bytes((len(body),)) + body)
        text = topic.encode()
        body = struct.pack(">HBH", 1, 0, len(text)) + text + b"\1"
        self._socket.sendall(b"\x82" + bytes((len(body),)) + body)
        self._left = b""
        self._most = receive_maximum

    def subscribed(self) -> None:
        """Wait for the SUBACK, and end the connection."""
        while self._left[-6:-3] != b"\x90\x04\x00":
            self._left += self._socket.recv(_READ_BYTES)
        self._socket.sendall(b"\xe0\0")
        self._socket.close()

    def drain(self, count: int, file: int | None) -> float:
        """Seconds from the first message to the last acknowledgement."""
        began = 0.0
        data, seen = self._left, 0
        while seen < count:
            ids, position = _step(data, self._most)
            if ids:
                began = began or time.perf_counter()
                if file is not None:
                    os.write(file, data[:position])
                    os.fsync(file)
                self._socket.sendall(struct.pack(f">{len(ids)}I", *map(_ACKNOWLEDGE.__or__, ids)))
                seen += len(ids)
                data = data[position:]
                continue
            new = self._socket.recv(_READ_BYTES)
            if not new:
                raise AssertionError(f"the broker ended the connection after {seen} messages")
            data = data[position:] + new
        return time.perf_counter() - began


def _step(data: bytes, most: int) -> tuple[list[int], int]:
    """The packet identifiers of whole PUBLISH packets of QoS 1, ``most`` at most, and where they end.

    Mosquitto 2.0.11 sends more than the Receive Maximum at once when it resumes a session.
    """
    ids: list[int] = []
    position, end = 0, len(data)
    while position + 5 <= end and len(ids) < most:
        at = position + 1
        length = data[at] & 127
        shift = 7
        while data[at] > 127:
            at += 1
            length += (data[at] & 127) << shift
            shift += 7
        at += 1
        stop = at + length
        if stop > end:
            break
        if data[position] >> 4 == 3:
            at += 2 + (data[at] << 8 | data[at + 1])
            ids.append(data[at] << 8 | data[at + 1])
        position = stop
    return ids, position


def main() -> None:
    port, client_id, topic, receive_maximum, count, *where = sys.argv[1:]
    reader = BareReader(int(port), client_id, topic, int(receive_maximum))
    if not int(count):
        reader.subscribed()
        return
    file = os.open(Path(where[0]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if where else None
    sys.stdout.write(repr(reader.drain(int(count), file)))


if __name__ == "__main__":
    main()
