"""From publish to handler when nothing else is to do, beside MQTT alone."""

import queue as thread_queue
import random
import time
from statistics import quantiles
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench import programs
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_count
from support.broker import Broker
from support.processes import Processes
from support.wait import wait_for

_COUNT = 300
_OURS = ("publish to handler, p50", "publish to handler, p99")
_BARE = ("MQTT alone, p50", "MQTT alone, p99")
TABLES = (
    Table(
        "latency",
        "Idle latency",
        f"{_COUNT} messages, one every 10 to 30 ms, QoS 1. From publishing to the handler's first line, through Mosquitto, "
        "`fmq listen` (FULL) and `fmq process`; and from publishing to the callback of a paho client in the publisher's own process.",
        (*_OURS, *_BARE),
        unit="ms",
        less_is_better=True,
    ),
)
GOALS = (
    Goal("idle publish-to-handler p99", _OURS[1], most=5.0, unit=" ms"),
    Goal("idle publish-to-handler p99 / MQTT alone", _OURS[1], _BARE[1], most=3.0),
)


def measure(turn: Round) -> Figures:
    """Milliseconds."""
    delays = turn.folder / "delays"
    delays.touch()
    count = turn.scaled(_COUNT)
    with programs.broker(turn.folder) as broker, Processes(turn.folder) as processes:
        programs.listen(processes, broker)
        processor = programs.process(processes, "note_delay", BENCH_DELAYS=delays)
        processor.wait_to_say("")
        bare = _publish(broker, 10 + count)[10:]
        await_count(lambda: delays.read_text(encoding="ascii").count("\n"), 10 + count)
    ours = [float(line) for line in delays.read_text(encoding="ascii").split()][10:]  # the first ones wake everything
    return _percentiles(_OURS, ours) | _percentiles(_BARE, bare)


def _percentiles(names: tuple[str, str], seconds: list[float]) -> Figures:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {names[0]: 1000 * cuts[49], names[1]: 1000 * cuts[98]}


def _publish(broker: Broker, count: int) -> list[float]:
    """Publish at random times, and receive by another client; returns the delays of that one in seconds."""
    arrived: thread_queue.SimpleQueue[float] = thread_queue.SimpleQueue()
    subscribed: list[bool] = []

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:  # noqa: ANN401 - paho's
        arrived.put(time.time() - float(message.payload))

    sender, receiver = (
        Client(CallbackAPIVersion.VERSION2, f"bench-{role}", protocol=MQTTProtocolVersion.MQTTv5)
        for role in ("sender", "receiver")
    )
    receiver.on_message = on_message
    receiver.on_subscribe = lambda *_: subscribed.append(True)
    rng = random.Random(1)
    for client in (sender, receiver):
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
    try:
        receiver.subscribe(TOPIC, qos=1)
        wait_for(lambda: subscribed, what="SUBACK")
        for _ in range(count):
            time.sleep(rng.uniform(0.01, 0.03))
            sender.publish(TOPIC, repr(time.time()), qos=1)
        return [arrived.get(timeout=10) for _ in range(count)]
    finally:
        for client in (sender, receiver):
            client.disconnect()
            client.loop_stop()
