"""Publishes readings at a rate, and counts what the broker has acknowledged."""

import threading
import time
from collections import Counter, deque
from typing import Self

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.service.broker.settings import BrokerSettings
from fmq_demo.client import connect, disconnect, make_client
from fmq_demo.pacer import Pacer
from fmq_demo.readings import Sensors

_TURN_SECONDS = 0.01
_MOST_WAITING = 1_000
"""Messages that wait for their PUBACK; a broker that is slower than the rate slows the publisher down."""


class Publisher:
    """Publishes with QoS 1 in a thread of its own, while it is entered and not stopped.

    ``published`` counts, for each queue, the messages whose PUBACK has come: nothing else is promised to anybody.
    """

    def __init__(self, settings: BrokerSettings, sensors: Sensors, *, rate: float) -> None:
        self.published: Counter[str] = Counter()
        self.refused = 0
        self._sensors = sensors
        self._rate = rate
        self._address = settings.broker
        self._client = make_client(settings)
        self._client.max_inflight_messages_set(_MOST_WAITING)
        self._client.on_publish = self._on_publish
        self._waiting: dict[int, str] = {}  # packet id to queue; touched by our thread only
        self._answers: deque[tuple[int, bool]] = deque()  # from paho's thread to ours
        self._stopping = threading.Event()
        self._deadline = 0.0  # set before _stopping, and read after it
        self._thread = threading.Thread(target=self._run, name="publisher")

    @property
    def unanswered(self) -> int:
        """Messages that the broker has neither acknowledged nor refused."""
        return len(self._waiting)

    def __enter__(self) -> Self:
        """Connect and begin. Raises BrokerUnreachable."""
        connect(self._client, self._address)
        self._thread.start()
        return self

    def stop(self, *, patience: float) -> None:
        """Publish no more, and wait up to ``patience`` seconds for the PUBACKs that are missing."""
        self._deadline = time.monotonic() + patience
        self._stopping.set()
        self._thread.join()

    def __exit__(self, *exc: object) -> None:
        if not self._stopping.is_set():
            self.stop(patience=0)
        disconnect(self._client)

    def _run(self) -> None:
        pacer = Pacer(self._rate, now=time.monotonic())
        while not self._stopping.wait(_TURN_SECONDS):
            self._take_answers()
            for _ in range(pacer.take(now=time.monotonic(), room=_MOST_WAITING - len(self._waiting))):
                reading = self._sensors.read(time.time())
                info = self._client.publish(reading.topic, reading.payload, qos=1)
                self._waiting[info.mid] = reading.queue
        while self._waiting and time.monotonic() < self._deadline:
            self._take_answers()
            time.sleep(_TURN_SECONDS)
        self._take_answers()

    def _take_answers(self) -> None:
        while self._answers:
            packet_id, accepted = self._answers.popleft()
            queue = self._waiting.pop(packet_id)
            if accepted:
                self.published[queue] += 1
            else:
                self.refused += 1

    def _on_publish(
        self, _client: Client, _userdata: object, mid: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        # Its answer may come before publish() has returned the id, so it is looked up by our own thread later.
        self._answers.append((mid, not reason.is_failure))
