"""The connection that publishes."""

import inspect
from typing import Literal

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from fmq.mqtt.connection import _Client


@pytest.mark.parametrize(("transport", "kind"), [("tcp", memoryview), ("websockets", bytes)])
def test_a_packet_is_not_copied_at_each_write(transport: Literal["tcp", "websockets"], kind: type) -> None:
    """It is queued as a view, by a method that paho keeps private; a WebSocket masks its own copies."""
    assert list(inspect.signature(Client._packet_queue).parameters)[:3] == ["self", "command", "packet"]
    client = _Client(CallbackAPIVersion.VERSION2, transport=transport)
    client._in_callback_mutex.acquire()  # as within a callback: then nothing is sent yet
    client._packet_queue(0x30, b"packet", 1, 1)
    (queued,) = client._out_packet
    assert type(queued["packet"]) is kind
