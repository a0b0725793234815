"""What a listener has acknowledged, seen on its way to the broker: from then on it is fmq's to keep."""

import threading

from support.proxy import PUBACK, PUBLISH, Packet


class Acknowledged:
    """A proxy's watch that keeps the ``numbers`` of the messages that were acknowledged. All of them have QoS 1."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], int] = {}
        self._lock = threading.Lock()
        self.numbers: set[int] = set()

    def __call__(self, packet: Packet) -> bytes:
        with self._lock:
            key = packet.connection, packet.packet_id
            if packet.kind == PUBLISH and not packet.to_broker:
                before = packet.body[: packet.body.rindex(b".")]
                self._open[key] = int(before[len(before.rstrip(b"0123456789")) :])
            elif packet.kind == PUBACK and packet.to_broker:
                self.numbers.add(self._open.pop(key))
        return packet.raw
