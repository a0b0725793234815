"""Putting, and claiming and completing, in one process and without MQTT, compared with other queues on SQLite."""

import time
from collections.abc import Callable
from contextlib import closing

from bench.measure import TOPIC, Figures, Goal, Round, Table, reading
from bench.peers import PEERS
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store

_COUNT = 10_000
_TAKEN = 500
_BATCH = 1_000
_PUT, _PUT_ONE = f"fmq put, {_BATCH:,} a commit (FULL)", "fmq put, 1 a commit (NORMAL)"
_TAKE, _TAKE_FEW = f"fmq claim + complete, {_BATCH:,} at once", "fmq claim + complete, 10 at once"
TABLES = (
    Table(
        "put",
        "Putting",
        f"{_COUNT:,} messages of 120 B into a new database. fmq's listener commits together what arrived together; the others "
        "commit each message, without waiting for the disk where FULL is not said.",
        (_PUT, _PUT_ONE, *(f"{name} put" for name in PEERS)),
        plotted=True,
    ),
    Table(
        "take",
        "Claiming and completing",
        f"From the same backlog of {_COUNT:,} messages: fmq takes all of it, the peers the first {_TAKEN}. litequeue "
        "pop + done, persist-queue (SQLiteAckQueue) get + ack, huey (SqliteHuey) dequeue + run of an empty task. "
        "litequeue's pop slows down as its backlog grows: with 1,000 waiting it takes about eight times as many a second.",
        (_TAKE, _TAKE_FEW, *(f"{name} take" for name in PEERS)),
        plotted=True,
    ),
)
GOALS = (
    *(
        Goal(f"put / {name}", _PUT, f"{name} put", least=least)
        for name, least in zip(PEERS, (15.0, 100.0, 100.0), strict=True)
    ),
    *(
        Goal(f"claim + complete / {name}", _TAKE, f"{name} take", least=least)
        for name, least in zip(PEERS, (50.0, 50.0, 25.0), strict=True)
    ),
)


def measure(turn: Round) -> Figures:
    """Messages a second."""
    runs: list[Callable[[], Figures]] = [lambda: _ours(turn), *(_runner(turn, name) for name in PEERS)]
    figures: Figures = {}
    for run in turn.in_turn(runs):
        figures |= run()
    return figures


def _ours(turn: Round) -> Figures:
    count = turn.scaled(_COUNT)
    figures: Figures = {}
    path = turn.folder / "fmq.db"
    with open_store(f"sqlite:///{path}", StoreOptions(durability=Durability.FULL)) as queue:
        figures[_PUT] = fill(queue, count)
    with open_store(f"sqlite:///{path}", StoreOptions(durability=Durability.NORMAL)) as queue:
        figures[_TAKE] = take(queue, count, _BATCH)
        fill(queue, count // 4)
        figures[_TAKE_FEW] = take(queue, count // 4, 10)
        figures[_PUT_ONE] = fill(queue, count // 8, 1)
    return figures


def fill(queue: Store, count: int, batch: int = _BATCH, size: int = 120) -> float:
    """Put ``count`` messages; returns how many a second."""
    queue.declare(TOPIC)
    seconds = 0.0
    for first in range(0, count, batch):
        at = time.time()
        numbers = range(first, min(count, first + batch))
        some = [Incoming(TOPIC, TOPIC, reading(number, size), at) for number in numbers]
        began = time.perf_counter()
        queue.put(some)
        seconds += time.perf_counter() - began
    return count / seconds


def take(queue: Store, count: int, batch: int) -> float:
    """Claim and complete ``count`` messages; returns how many a second."""
    taken = 0
    began = time.perf_counter()
    while taken < count:
        claims = queue.claim(TOPIC, min(batch, count - taken), lease=60)
        queue.settle([(claim, Done()) for claim in claims])
        taken += len(claims)
    return count / (time.perf_counter() - began)


def _runner(turn: Round, name: str) -> Callable[[], Figures]:
    def run() -> Figures:
        with closing(PEERS[name](turn.folder)) as peer:
            payloads = [reading(number) for number in range(turn.scaled(_COUNT))]
            began = time.perf_counter()
            for payload in payloads:
                peer.put(payload)
            middle = time.perf_counter()
            for _ in range(_TAKEN):
                peer.take()
            end = time.perf_counter()
        return {f"{name} put": len(payloads) / (middle - began), f"{name} take": _TAKEN / (end - middle)}

    return run
