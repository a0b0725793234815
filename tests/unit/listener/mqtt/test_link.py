"""How much is read before a commit."""

import socket
from contextlib import closing

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fmq.service.lifecycle import Shutdown
from fmq_listener.filters import Router
from fmq_listener.mqtt.link import Link
from fmq_listener.mqtt.wire import WireClient
from support.clock import FakeClock
from support.scripted_broker import length

_BODY = b"\x00\x01t\x00\x07" + b"x" * (2 * 1024 * 1024)
_PACKET = b"\x32" + length(len(_BODY)) + _BODY


class _Client(WireClient):
    """Whose socket gives one packet per read, of 10."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self.here = sock
        self.left = 10
        self.limit(messages=100, size=100_000_000, packet=100_000_000)
        self.route(Router(["#"], [], {"#": 1}))

    def socket(self) -> socket.socket:
        return self.here

    def loop_read(self, _max_packets: int = 1) -> int:  # type: ignore[override]
        if not self.left:
            return 1
        self.left -= 1
        self._decoder.feed(_PACKET)
        return self._packet_read()


@pytest.mark.parametrize(("hold", "count"), [(0.0, 2), (0.001, 10)])
def test_a_commit_begins_when_the_batch_has_enough(hold: float, count: int) -> None:
    """Large messages are committed 4 MiB at once, so that the broker goes on sending meanwhile; who lets messages gather waits."""
    here, there = socket.socketpair()
    with here, there, closing(Shutdown()) as shutdown:
        client = _Client(here)
        link = Link(client, shutdown, client_id="a", clock=FakeClock())
        there.sendall(b"x" * 10)
        while client.left and len(client.take().messages) == 0:
            link.read(hold=hold)
        assert 10 - client.left == count
