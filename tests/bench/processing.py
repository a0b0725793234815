"""How fast a processor is: real processes, with handlers that do nothing or wait."""

import tempfile
from pathlib import Path

from bench import programs
from bench.measure import Figures, Goal, Round, Table, await_done
from bench.store import fill
from fmq.store.backends import open_store
from support.processes import Processes

_COUNT = 80_000
_SLOW_COUNT = 4_000
_CONCURRENCY = 100
_IDEAL = _CONCURRENCY / 0.05
_NOTHING, _BATCH = "a handler that does nothing, batch 100", "a batch handler that does nothing, batch 100"
_SLOW, _IDEALLY = f"{_CONCURRENCY} async handlers at once, 50 ms each", "their ideal rate"
_CALLS = 4
_BATCHES, _BATCHES_IDEALLY = f"{_CALLS} batch handlers at once, 10 ms each, batch 100", "their ideal rate, with batches"
_MANY = (1, 2, 4)
TABLES = (
    Table(
        "process",
        "Processor",
        "`fmq process` as users start it. The time runs from just before its first claim (the handler's `setup`) to the commit "
        "that settles the last message, so start-up does not count.",
        (_NOTHING, _BATCH, _SLOW, _IDEALLY, _BATCHES, _BATCHES_IDEALLY),
    ),
    Table(
        "processors",
        "Several processors",
        "The same with several processes on one store, from the first claim of any to the last settlement.",
        tuple(f"processors: {number}" for number in _MANY),
    ),
)
GOALS = (
    Goal("processor, no-op handler, batch 100", _NOTHING, least=100_000, unit=" msg/s"),
    Goal("processor, batch handler, batch 100", _BATCH, least=150_000, unit=" msg/s"),
    Goal("batch handler / no-op handler", _BATCH, _NOTHING, least=1.0),
    Goal("100 slow async handlers / ideal", _SLOW, _IDEALLY, least=0.9),
    Goal(f"{_CALLS} batch handlers / ideal", _BATCHES, _BATCHES_IDEALLY, least=0.8),
)


def measure(turn: Round) -> Figures:
    """Messages a second."""
    count = turn.scaled(_COUNT)
    slow = {"FMQ_CONCURRENCY": _CONCURRENCY, "FMQ_BATCH": 2 * _CONCURRENCY}  # the next batch is ready while one runs
    figures = {
        _NOTHING: _run(turn, "nothing", count),
        _BATCH: _run(turn, "nothing_at_all", count),
        _SLOW: _run(turn, "wait_50_ms", turn.scaled(_SLOW_COUNT), **slow),
        _IDEALLY: _IDEAL,
        _BATCHES: _run(turn, "wait_10_ms", count // 2, FMQ_CONCURRENCY=_CALLS),
        _BATCHES_IDEALLY: _CALLS * 100 / 0.01,
    }
    return figures | {f"processors: {number}": _run(turn, "nothing", count, number=number) for number in _MANY}


def _run(turn: Round, handler: str, count: int, *, number: int = 1, **settings: object) -> float:
    folder = Path(tempfile.mkdtemp(dir=turn.folder))
    with open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as queue, Processes(folder) as processes:
        fill(queue, count)
        marks = [folder / f"began-{one}" for one in range(number)]
        for mark in marks:
            programs.process(processes, handler, BENCH_BEGAN=mark, **settings)
        end = await_done(queue, count)
    return count / (end - min(float(mark.read_text(encoding="ascii")) for mark in marks if mark.exists()))
