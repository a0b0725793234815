"""How fast messages are put, and processed by a handler that does nothing, beside litequeue."""

import time
from collections.abc import Callable
from pathlib import Path

from litequeue import LiteQueue

from bench.listening import payload
from bench.report import Group
from fmq.message import Incoming
from fmq.queue import Durability, StoreOptions, open_queue
from support.processes import Processes
from support.wait import wait_for

_QUEUE = "bench"
_BATCH = 100
_SHALLOW = 2_000
_POPPED = 500
_DEADLINE = 120.0
_PUT_BATCH = f"fmq, {_BATCH} a commit (FULL)"
_PUT_ONE = "fmq, 1 a commit (NORMAL)"
_PUT_LITE = "litequeue put, 1 a commit (NORMAL)"
_PROCESS = f"fmq process, batch {_BATCH}"
_POP_DEEP = "litequeue pop + done, the same backlog"
_POP_SHALLOW = f"litequeue pop + done, {_SHALLOW:,} waiting"


def groups() -> list[Group]:
    """What ``measure`` measures."""
    return [
        Group(
            "Processor",
            "`fmq process` is the real process as users start it, with a handler that does nothing. Its time runs from just before "
            "its first claim (the handler's `setup`) to the commit that settles the last message, so start-up does not "
            "count. litequeue pops and marks as done in one process, with no handler. Its pop takes longer the more "
            f"messages wait, so it is measured twice: on the same backlog (the first {_POPPED} messages) and on a short one.",
            (_PROCESS, _POP_DEEP, _POP_SHALLOW),
        ),
        Group(
            "Putting messages",
            "Into a new database, by one process, without MQTT. litequeue commits each message; fmq's listener commits together what "
            "arrived together.",
            (_PUT_BATCH, _PUT_ONE, _PUT_LITE),
        ),
    ]


def measure(folder: Path, *, backlog: int, turn: int) -> dict[str, float]:
    """Messages a second by name. ``turn`` changes who is first."""
    folder.mkdir()
    runs: list[Callable[[], dict[str, float]]] = [
        lambda: _ours(folder, backlog),
        lambda: {_PUT_ONE: _put(folder / "single.db", backlog // 8, 1, Durability.NORMAL)},
        lambda: _litequeue(folder, backlog),
    ]
    turn %= len(runs)
    found: dict[str, float] = {}
    for run in runs[turn:] + runs[:turn]:
        found |= run()
    return found


def _put(database: Path, count: int, batch: int, durability: Durability) -> float:
    with open_queue(f"sqlite:///{database}", StoreOptions(durability=durability)) as queue:
        queue.declare(_QUEUE)
        begin = time.perf_counter()
        for first in range(0, count, batch):
            queue.put(
                [Incoming(_QUEUE, _QUEUE, payload(number), time.time()) for number in range(first, first + batch)]
            )
        return count / (time.perf_counter() - begin)


def _ours(folder: Path, backlog: int) -> dict[str, float]:
    database = folder / "mqtt_queue.db"
    began = folder / "began"
    put = _put(database, backlog, _BATCH, Durability.FULL)
    with Processes(folder) as processes, open_queue(f"sqlite:///{database}") as queue:
        processor = processes.start(
            "process",
            _QUEUE,
            str(_BATCH),
            FMQ_HANDLER="bench.noop:handle",
            PYTHONPATH=Path(__file__).parents[1],
            BENCH_BEGAN=began,
        )
        wait_for(lambda: queue.stats(_QUEUE).done >= backlog, _DEADLINE, what="the last message to be settled")
        end = time.time()
        processor.terminate()
    return {_PUT_BATCH: put, _PROCESS: backlog / (end - float(began.read_text(encoding="ascii")))}


def _litequeue(folder: Path, backlog: int) -> dict[str, float]:
    put, deep = _pop(folder / "deep.db", backlog)
    _, shallow = _pop(folder / "shallow.db", _SHALLOW)
    return {_PUT_LITE: put, _POP_DEEP: deep, _POP_SHALLOW: shallow}


def _pop(database: Path, backlog: int) -> tuple[float, float]:
    """The rates of put, and of pop and done."""
    queue = LiteQueue(str(database))
    begin = time.perf_counter()
    for number in range(backlog):
        queue.put(payload(number).decode())
    middle = time.perf_counter()
    for _ in range(_POPPED):
        queue.done(queue.pop().message_id)
    end = time.perf_counter()
    queue.close()
    return backlog / (middle - begin), _POPPED / (end - middle)
