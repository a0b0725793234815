"""What a message costs with many topic filters: CPU time of a listener and a processor at a slow, steady rate."""

import os
import time
from pathlib import Path

from bench import programs
from bench.load import Publisher
from bench.measure import TOPIC, Figures, Goal, Round, Table, reading
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from support.processes import FmqProcess, Processes

_MANY, _MANY_QUICK = 2_000, 200
_RATE = 10.0
_SECONDS = 20.0
_SETTLED_SECONDS = 5.0
"""After the start, retention looks at each queue for the first time."""
_ROWS = ("CPU per message, 2,000 filters", "CPU per message, 1 filter")
TABLES = (
    Table(
        "filters",
        "Many topic filters",
        f"CPU time of `fmq listen` and `fmq process` together at {_RATE:g} messages per second, everything included, divided by the "
        "messages.",
        _ROWS,
        unit="ms",
        less_is_better=True,
    ),
)
GOALS = (Goal("CPU per message, 2,000 filters / 1 filter", *_ROWS, most=1.2),)


def measure(turn: Round) -> Figures:
    """Milliseconds."""
    many = _MANY_QUICK if turn.quick else _MANY
    return {row: _cost(turn, count) for row, count in turn.in_turn([(_ROWS[0], many), (_ROWS[1], 1)])}


def _cost(turn: Round, count: int) -> float:
    topics = [TOPIC, *(f"{TOPIC}/{number}" for number in range(1, count))]
    home = turn.kept / str(count)  # creating thousands of queues takes a while
    home.mkdir(exist_ok=True)
    with open_store(f"sqlite:///{home / 'mqtt_queue.db'}", StoreOptions(durability=Durability.NORMAL)) as store:
        for topic in topics:
            store.declare(topic)
    with programs.broker(turn.folder / f"broker-{count}") as broker, Processes(home) as processes:
        listener = processes.start("listen", *topics, FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="fmq-filters")
        listener.wait_to_say("subscribed", 120)
        processor = programs.process(processes, "nothing", FMQ_TOPICS=",".join(topics))
        processor.wait_to_say("")
        time.sleep(_SETTLED_SECONDS)
        before = _cpu(listener) + _cpu(processor)
        with Publisher(broker.port) as publisher:
            for number in range(int(_RATE * _SECONDS)):
                publisher.send([reading(number)])
                time.sleep(1 / _RATE)
        return 1000 * (_cpu(listener) + _cpu(processor) - before) / (_RATE * _SECONDS)


def _cpu(process: FmqProcess) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
