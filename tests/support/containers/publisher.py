"""A publisher that knows which of its messages the broker has acknowledged, and when."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from support.wait import wait_for

_WINDOW = 500
_TURN = 0.02


class Publisher:
    """Publishes the numbers 0 to ``count`` as payloads at QoS 1, at a rate, in a thread of its own, once entered.

    A broker that goes away is waited for: what it has not acknowledged is sent again by paho.
    """

    def __init__(self, port: int, topic: str, *, count: int, rate: float) -> None:
        self._topic = topic
        self._count = count
        self._rate = rate
        self._again: deque[int] = deque()
        self._waiting: dict[int, int] = {}  # packet id to number; touched by our thread only
        self._answers: deque[tuple[int, float]] = deque()  # from paho's thread to ours
        self._ends = threading.Event()
        self.acknowledged: dict[int, float] = {}
        self.repeated = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"publisher-{port}")
        self._client.max_inflight_messages_set(_WINDOW)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._thread = threading.Thread(target=self._run, name="publisher")

    def wait_until(self, count: int, deadline: float = 120.0) -> None:
        """Wait until ``count`` numbers are acknowledged."""
        wait_for(
            lambda: len(self.acknowledged) >= count or not self._thread.is_alive(), deadline, what=f"{count} PUBACKs"
        )
        assert len(self.acknowledged) >= count, "the publisher's thread has ended"

    def finish(self, deadline: float = 120.0) -> None:
        """Wait until every number is acknowledged, and what was to be repeated too."""
        wait_for(lambda: self._idle, deadline, what=f"all PUBACKs ({len(self.acknowledged)} have come)")

    def repeat(self, numbers: Iterable[int]) -> None:
        """Publish these once more."""
        self._again.extend(numbers)

    def acknowledged_since(self, moment: float) -> list[int]:
        """The numbers whose PUBACK came after a moment of ``time.monotonic``."""
        return [number for number, at in list(self.acknowledged.items()) if at >= moment]

    @property
    def _idle(self) -> bool:
        return len(self.acknowledged) == self._count and not self._again and not self._waiting

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        following, begun, allowed = 0, time.monotonic(), 0.0
        while not self._ends.wait(_TURN):
            self._take_answers()
            now = time.monotonic()
            allowed = min(allowed + (now - begun) * self._rate, self._rate)
            begun = now
            while allowed >= 1 and len(self._waiting) < _WINDOW:
                if self._again:
                    number = self._again.popleft()
                    self.repeated += 1
                elif following < self._count:
                    number = following
                    following += 1
                else:
                    break
                self._waiting[self._client.publish(self._topic, str(number), qos=1).mid] = number
                allowed -= 1

    def _take_answers(self) -> None:
        while self._answers:
            packet_id, at = self._answers.popleft()
            number = self._waiting.pop(packet_id, None)
            if number is not None:
                self.acknowledged[number] = at

    def _on_publish(
        self, _client: Client, _userdata: object, packet_id: int, _reason: ReasonCode, _properties: Properties
    ) -> None:
        self._answers.append((packet_id, time.monotonic()))
