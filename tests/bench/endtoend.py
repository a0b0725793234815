"""The highest rate that goes through everything on this machine: publisher, broker, listener, processor."""

import subprocess
import sys
import time

from bench import load, programs
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_done
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.broker import Broker
from support.processes import Processes

_RATES = (20_000, 25_000, 30_000, 35_000, 40_000, 45_000, 50_000, 55_000, 60_000)
_SECONDS = 10.0
_WARM_UP = 1.5
_BEHIND_SECONDS = 0.25
"""What may be under way at the end, as a part of the rate."""
_ROW = "sustained end to end"
TABLES = (
    Table(
        "end-to-end",
        "End to end",
        "Publisher, Mosquitto, `fmq listen` (FULL) and `fmq process` (a handler that does nothing, batch 1,000) share this machine's "
        f"processors. The rate goes up in steps of 5,000 messages a second, {_SECONDS:g} s each; it counts as sustained if "
        f"the publisher kept it, and when it ends no more than {_BEHIND_SECONDS:g} s of it are anywhere between publisher "
        "and settled. 120 B, QoS 1, MQTT 5.",
        (_ROW,),
    ),
)
GOALS = (Goal("end to end, publisher and broker included", _ROW, least=40_000, unit=" msg/s"),)


def measure(turn: Round) -> Figures:
    """Messages a second."""
    sustained = 0
    with (
        programs.broker(turn.folder) as broker,
        Processes(turn.folder) as processes,
        open_store(f"sqlite:///{turn.folder / 'mqtt_queue.db'}") as queue,
    ):
        programs.listen(processes, broker)
        programs.process(processes, "nothing", FMQ_BATCH=1_000).wait_to_say("")
        _publish(broker, _RATES[0], _WARM_UP)
        for rate in _RATES[:2] if turn.quick else _RATES:
            before = queue.stats(TOPIC).done
            if not _keeps_up(broker, queue, rate):
                break
            sustained = rate
            assert queue.stats(TOPIC).done > before
    return {_ROW: float(sustained)}


def _keeps_up(broker: Broker, queue: Store, rate: int) -> bool:
    time.sleep(0.5)  # what the step before left behind
    before = queue.stats(TOPIC).done
    sent = _publish(broker, rate, _SECONDS)
    behind = sent - (queue.stats(TOPIC).done - before)
    await_done(queue, before + sent)
    return sent >= 0.98 * rate * _SECONDS and behind <= _BEHIND_SECONDS * rate


def _publish(broker: Broker, rate: int, seconds: float) -> int:
    command = [sys.executable, load.__file__, str(broker.port), str(rate), str(seconds)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
