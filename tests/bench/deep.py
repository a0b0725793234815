"""What a backlog of 5,000,000 messages costs: a scrape, and claims."""

import shutil
import time
from contextlib import closing
from pathlib import Path

import apsw

from bench import programs
from bench.measure import TOPIC, Figures, Goal, Round, Table
from bench.store import fill, take
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from support.broker import Broker
from support.processes import FmqProcess, Processes

_DEEP, _DEEP_QUICK, _SHALLOW = 5_000_000, 200_000, 1_000
_PAYLOAD_BYTES = 120
_SCRAPES = 40
_SLICES = 10
_STORE = StoreOptions(durability=Durability.NORMAL)
_CLAIMS = ("claim + complete at 5,000,000", "claim + complete at 1,000")
_SCRAPE = ("scrape at 5,000,000 pending", "scrape at 0")
TABLES = (
    Table(
        "deep-claims",
        "Claims from a deep backlog",
        f"100 at once, {_SLICES} times {_SHALLOW:,} messages, in turn from a backlog of 5,000,000 and from new databases that hold "
        f"{_SHALLOW:,}. Checkpoints of the log come between the measurements: a new database would not live to see its first one.",
        _CLAIMS,
    ),
    Table(
        "deep-scrapes",
        "Scrapes over a deep backlog",
        f"GET /metrics of a listener that has nothing to do, the median of {_SCRAPES}.",
        _SCRAPE,
        unit="ms",
        less_is_better=True,
    ),
)
GOALS = (
    Goal("claim rate at 5,000,000 backlog / at 1,000", *_CLAIMS, least=0.95),
    Goal("scrape at 5,000,000 pending / at 0", *_SCRAPE, most=1.2),
)


def measure(turn: Round) -> Figures:
    """Messages a second; milliseconds."""
    deep = turn.kept / "mqtt_queue.db"
    if not deep.exists():
        with open_store(f"sqlite:///{deep}", _STORE) as queue:
            fill(queue, _DEEP_QUICK if turn.quick else _DEEP, 5_000, _PAYLOAD_BYTES)
    figures = _scrapes(turn)
    return figures | _claims(turn, deep)


def _claims(turn: Round, deep: Path) -> Figures:
    seconds = [0.0, 0.0]
    with open_store(f"sqlite:///{deep}", _STORE) as full:
        take(full, _SHALLOW, 100)
        for number in range(_SLICES):
            small_path = turn.folder / f"{number}.db"
            with open_store(f"sqlite:///{small_path}", _STORE) as small:
                fill(small, _SHALLOW)
                for which, queue in turn.in_turn([(0, full), (1, small)]):
                    _checkpoint(small_path if which else deep)
                    seconds[which] += _SHALLOW / take(queue, _SHALLOW, 100)
    return {name: _SLICES * _SHALLOW / spent for name, spent in zip(_CLAIMS, seconds, strict=True)}


def _checkpoint(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as sql:
        sql.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def _scrapes(turn: Round) -> Figures:
    empty = turn.folder / "empty"
    empty.mkdir()
    times: list[list[float]] = [[], []]
    with programs.broker(turn.folder) as broker, Processes(turn.kept) as over, Processes(empty) as beside:
        listeners = _start(broker, over, 0), _start(broker, beside, 1)
        for _ in range(3 + _SCRAPES):
            for which, listener in enumerate(listeners):
                began = time.perf_counter()
                assert TOPIC in listener.get("metrics")
                times[which].append(time.perf_counter() - began)
    shutil.rmtree(empty)
    return {name: 1000 * sorted(some[3:])[_SCRAPES // 2] for name, some in zip(_SCRAPE, times, strict=True)}


def _start(broker: Broker, processes: Processes, number: int) -> FmqProcess:
    return programs.listen(processes, broker, number=number)
