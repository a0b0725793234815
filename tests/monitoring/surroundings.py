"""What surrounds the services of an installation: the handler, a steady load, and the broker's certificate."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from chaos.publisher import remaining_length

_TURN = 0.1
HANDLER = """
import os
import time
from pathlib import Path

import fmq

def handle(message):
    mode = Path("mode").read_text()
    with Path("calls").open("a") as calls:
        calls.write(f"{mode} {os.getpid()} {message.queue} {message.id}\\n")
    if mode == "fail":
        raise ValueError("told to fail")
    if mode == "down":
        raise fmq.Unavailable
    if message.payload == b"poison":
        raise fmq.Reject("poison")
    time.sleep(1 if mode == "slow" else 0.002)
"""


def publish_packet(topic: str, payload: bytes) -> bytes:
    """Of QoS 0, in MQTT 5."""
    body = len(topic).to_bytes(2) + topic.encode() + b"\0" + payload
    return b"\x30" + remaining_length(len(body)) + body


class Load(threading.Thread):
    """Publishes at QoS 1 as long as it lives; paho sends again what a broker that was away has not acknowledged."""

    def __init__(self, port: int, rate: int) -> None:
        """``rate`` is in messages per second."""
        super().__init__(name="load", daemon=True)
        self._ends = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._port = port
        self._rate = rate

    def once(self, topic: str, payload: bytes = b"{}") -> None:
        self._client.publish(topic, payload, 1)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self.start()
        return self

    def run(self) -> None:
        while not self._ends.wait(_TURN):
            for number in range(int(self._rate * _TURN)):
                self._client.publish(f"sensors/{number}", b'{"value": 21.5, "unit": "C", "place": "test"}' * 4, 1)

    def __exit__(self, *exc: object) -> None:
        self._ends.set()
        self.join()
        self._client.disconnect()
        self._client.loop_stop()


class Certificate:
    """Of a broker, by a CA of the test's own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._authority = trustme.CA()
        self.ca, self.cert, self.key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        self._authority.cert_pem.write_to_path(str(self.ca))
        self.issue(days=365)

    def issue(self, *, days: int) -> None:
        """Write another one."""
        made = self._authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=days))
        made.cert_chain_pems[0].write_to_path(str(self.cert))
        made.private_key_pem.write_to_path(str(self.key))
