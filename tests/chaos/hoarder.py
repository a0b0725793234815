"""A broker that drops at UNSUBSCRIBE what it has buffered, as NATS does and MQTT 5 allows (section 3.10.4)."""

import threading
from collections import deque

from support.firehose import Peer, publish_packet

_WINDOW = 10
_PAUSE = 0.02


class Hoarder:
    """Holds messages for a session that outlives its connections, and sends ten at most before their PUBACKs.

    It answers pings at once and delivers a moment later, as brokers do that have a process for each.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._left: deque[int] = deque()
        self._pause_at = -1
        self._pause = 0.0
        self._lock = threading.Lock()

    def hold(self, count: int, *, pause: float) -> None:
        """``count`` messages came for an absent listener. In the middle, deliver nothing for ``pause`` seconds."""
        self._left.extend(range(count))
        self._pause_at, self._pause = count // 2 if pause else -1, pause

    def __call__(self, peer: Peer) -> None:
        with self._lock:  # the last connection has ended before the next one gets anything
            while self._left and not peer.is_over and not peer.unsubscribed.wait(_PAUSE):
                if 0 <= len(self._left) <= self._pause_at:
                    self._pause_at = -1
                    peer.unsubscribed.wait(self._pause)
                    continue
                self._deliver(peer)
            if peer.unsubscribed.is_set():
                self._left.clear()

    def _deliver(self, peer: Peer) -> None:
        some = list(self._left)[:_WINDOW]
        before = len(peer.acknowledged)
        try:
            peer.link.sendall(
                b"".join(
                    publish_packet(self._topic, b"%d." % number, packet_id) for packet_id, number in enumerate(some, 1)
                )
            )
            peer.await_acknowledged(before + len(some), 60)
        except OSError:
            pass
        for _ in range(len(peer.acknowledged) - before):
            self._left.popleft()
