"""What a message costs on PostgreSQL, by the parts that it goes through, and what a model makes of that: docs/scale.md."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import programs
from bench.load import Publisher
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_done, reading
from bench.postgres import with_standbys
from fmq.store.backends import open_store
from support.broker import Broker
from support.postgres import Postgres
from support.processes import FmqProcess, Processes

_COUNT = 100_000
_SHARED = f"$share/bench/{TOPIC}"
_TICK = os.sysconf("SC_CLK_TCK")
_SHAPES = ((1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (2, 4, 0), (1, 1, 1), (2, 2, 2))
"""Listeners, processors, synchronous standbys."""
_PARTS = ("broker", "listener", "processor", "primary", "standby")


def _row(what: str, shape: tuple[int, int, int]) -> str:
    listeners, processors, standbys = shape
    return f"{what}; listeners {listeners}, processors {processors}, standbys {standbys}"


TABLES = (
    Table(
        "scale-rate",
        "PostgreSQL: throughput by number of processes",
        f"{_COUNT:,} messages of 120 B, QoS 1, from the first one stored to the last one settled. Broker, listeners (a shared "
        "subscription), processors (batch 1,000, a handler that does nothing), primary and standbys share this machine.",
        tuple(_row(what, shape) for shape in _SHAPES for what in ("rate", "model")),
    ),
    *(
        Table(
            f"scale-{part}",
            f"CPU time per message: {part}",
            "",
            tuple(_row(part, shape) for shape in _SHAPES if part != "standby" or shape[2]),
            unit="µs",
            less_is_better=True,
        )
        for part in _PARTS
    ),
    Table(
        "scale-wal",
        "Write-ahead log per message",
        "From the put to the settlement, by the server's own position in its log.",
        tuple(_row("log", shape) for shape in _SHAPES),
        unit="bytes",
        less_is_better=True,
    ),
)
GOALS: tuple[Goal, ...] = ()


def measure(turn: Round) -> Figures:
    """Messages a second, and what each one cost."""
    figures: Figures = {}
    for shape in turn.in_turn(_SHAPES):
        with with_standbys(shape[2]) as servers:
            figures |= _run(turn, servers, shape)
    return figures | {_row("model", shape): _predicted(figures, shape) for shape in _SHAPES}


def _predicted(figures: Figures, shape: tuple[int, int, int]) -> float:
    """Messages a second, by what each part costs when one listener and one processor are at work.

    A listener and a processor fill one core each at most, and all parts share the cores of this machine.
    """
    listeners, processors, standbys = shape
    alone = (1, 1, min(standbys, 1))
    cost = {part: figures.get(_row(part, alone), 0.0) for part in _PARTS}
    total = sum(cost.values()) + max(standbys - 1, 0) * cost["standby"]
    cores = os.cpu_count() or 1
    return 1e6 * min(listeners / cost["listener"], processors / cost["processor"], cores / total)


def _run(turn: Round, servers: list[Postgres], shape: tuple[int, int, int]) -> Figures:
    server, *standbys = servers
    listeners, processors, _ = shape
    count = turn.scaled(_COUNT)
    folder = turn.folder / "-".join(map(str, shape))
    folder.mkdir()
    with programs.broker(folder) as broker, _services(folder, broker, server, listeners, processors) as started:
        parts = {
            "broker": [broker.pid],
            "listener": [one.pid for one in started[:listeners]],
            "processor": [one.pid for one in started[listeners:]],
            "primary": [server.pid],
            "standby": [one.pid for one in standbys],
        }
        before = {part: sum(map(_cpu_seconds, pids)) for part, pids in parts.items()}
        log_before = _log_position(server)
        with open_store(server.url) as store, Publisher(broker.port) as publisher:
            payloads = [reading(number) for number in range(count)]
            began = time.time()
            for first in range(0, count, 100):
                publisher.send(payloads[first : first + 100])
            publisher.finish()
            end = await_done(store, count)
        after = {part: sum(map(_cpu_seconds, pids)) for part, pids in parts.items()}
        written = _log_position(server) - log_before
    costs = {_row(part, shape): 1e6 * (after[part] - before[part]) / count for part in parts if parts[part]}
    return {_row("rate", shape): count / (end - began), _row("log", shape): written / count, **costs}


@contextmanager
def _services(
    folder: Path, broker: Broker, server: Postgres, listeners: int, processors: int
) -> Iterator[list[FmqProcess]]:
    with Processes(folder) as processes:
        started = [
            programs.listen(processes, broker, topic=_SHARED, number=number, FMQ_QUEUE_URL=server.url)
            for number in range(listeners)
        ]
        for _ in range(processors):
            started.append(programs.process(processes, "nothing", FMQ_QUEUE_URL=server.url, FMQ_BATCH=1_000))
            started[-1].wait_to_say("")
        yield started


def _log_position(server: Postgres) -> int:
    return int(server.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")[0][0])


def _cpu_seconds(pid: int) -> float:
    """Of a process, of its children that run, and of those that have ended and that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return sum(map(int, fields[11:15])) / _TICK + sum(map(_cpu_seconds, map(int, children)))
