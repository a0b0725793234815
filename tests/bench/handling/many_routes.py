"""A processor with one route for 50 queues, and with 50 routes."""

import time
from pathlib import Path
from tempfile import mkdtemp

from bench.handling import timing
from bench.measure import TESTS, Figures, Goal, Round, Table, await_count, reading
from fmq.message import Incoming
from fmq.store.backends import open_store
from support.processes import Processes

_QUEUES = [f"route/{number}" for number in range(50)]
_COUNT = 50_000
_MANY, _ONE = "50 routes, a queue each", "1 route, 50 queues"
TABLE = Table(
    "handling-routes",
    "Many routes",
    "Handlers that do nothing, batches of 100, the same messages in 50 queues.",
    (_MANY, _ONE),
)
GOALS = (
    Goal("50 routes / 1 route", _MANY, _ONE),
    Goal("50 routes: messages per processor time / 1 route", f"{_ONE}, processor time", f"{_MANY}, processor time"),
)


def measure(turn: Round) -> Figures:
    """Messages a second, and microseconds of processor time per message."""
    figures: Figures = {}
    for row in turn.in_turn((_MANY, _ONE)):
        cost = _run(turn, [[name] for name in _QUEUES] if row == _MANY else [_QUEUES])
        figures |= {row: cost.rate, f"{row}, processor time": cost.microseconds}
    return figures


def _run(turn: Round, routes: list[list[str]]) -> timing.Cost:
    folder = Path(mkdtemp(dir=turn.folder))
    lines = ['[store]\nurl = "sqlite:///mqtt_queue.db"\n[processor]\nbatch = 100']
    for number, queues in enumerate(routes):
        lines += [f'[[route]]\nname = "r{number}"\nhandler = "bench.handlers:nothing"\nqueues = {queues!r}']
    (folder / "fmq.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    count = turn.scaled(_COUNT)
    with open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as store, Processes(folder) as processes:
        at = time.time()
        for name in _QUEUES:
            store.declare(name)
        store.put([Incoming(_QUEUES[one % 50], _QUEUES[one % 50], reading(one), at) for one in range(count)])
        for name in _QUEUES:
            store.pause(name, "not yet")
        process = processes.start("process", PYTHONPATH=TESTS)
        with timing.measured(process, count) as measured:
            for name in _QUEUES:
                store.resume(name)
            measured.ended = await_count(lambda: sum(store.stats(name).done for name in _QUEUES), count)
    return measured.cost
