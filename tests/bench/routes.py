"""Several routes in one processor: what two of them lose when one more hangs and another one fails."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from bench.measure import TESTS, Figures, Goal, Round, Table, await_count, reading
from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.processes import FmqProcess, Processes
from support.wait import wait_for

_COUNT = 20_000
_BACKLOG = 100_000
_TIMED = 200
_GOOD, _BAD = ("good/1", "good/2"), ("bad/hang", "bad/fail")
_HANDLERS = {"bad/hang": "hang", "bad/fail": "fail"}
_WAYS = ("queues of their own", "one queue")
_RATE, _DELAY = "{}, {}: throughput", "{}, {}: latency"
_ALONE, _TOGETHER = "two routes", "two routes, a hanging and a failing one"
TABLES = (
    Table(
        "routes",
        "Routes",
        f"Two routes of one `fmq process`, with handlers that do nothing and batches of 100, alone and next to one whose calls hang "
        f"and one whose target is down. With queues of their own, and as topics of one queue. The bad ones have {_BACKLOG:,} "
        f"messages, which came first. {_COUNT:,} messages for each good route, committed at once.",
        tuple(_RATE.format(way, who) for way in _WAYS for who in (_TOGETHER, _ALONE)),
    ),
    Table(
        "routes_latency",
        "Latency of routes",
        f"The same processes when nothing else is due: {_TIMED} messages, one every 10 to 30 ms, from the commit to the handler. "
        "Medians.",
        tuple(_DELAY.format(way, who) for way in _WAYS for who in (_TOGETHER, _ALONE)),
        unit="ms",
        less_is_better=True,
    ),
)


def _goals(way: str) -> tuple[Goal, Goal]:
    rate, delay = (
        (_RATE.format(way, who) for who in (_TOGETHER, _ALONE)),
        (_DELAY.format(way, who) for who in (_ALONE, _TOGETHER)),
    )
    return (
        Goal(f"{way}: throughput with bad routes / alone", next(rate), next(rate), least=0.9),
        Goal(f"{way}: latency alone / with bad routes", next(delay), next(delay), least=0.9),
    )


GOALS = tuple(goal for way in _WAYS for goal in _goals(way))


def measure(turn: Round) -> Figures:
    """Messages a second, and milliseconds."""
    figures: Figures = {}
    for way, who in turn.in_turn([(way, who) for way in _WAYS for who in (_TOGETHER, _ALONE)]):
        figures |= _run(turn, way, who)
    return figures


def _run(turn: Round, way: str, who: str) -> Figures:
    folder = Path(mkdtemp(dir=turn.folder))
    bad = _BAD if who == _TOGETHER else ()
    is_shared = way == _WAYS[1]
    (folder / "fmq.toml").write_text(_file([*bad, *_GOOD], is_shared=is_shared), encoding="utf-8")
    (folder / "delays").touch()
    with open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as store, Processes(folder) as processes:
        for topic in (*_GOOD, *bad):
            store.declare(_queue(topic, is_shared=is_shared))
        for topic in bad:
            _put(store, [topic] * turn.scaled(_BACKLOG // 2), is_shared=is_shared)
        process = processes.start("process", PYTHONPATH=TESTS, BENCH_DELAYS=folder / "delays")
        process.wait_to_say("Starting processor")
        if bad:
            wait_for(lambda: _is_at_rest(process, turn.scaled(_BACKLOG), is_shared=is_shared), 120)
        count = turn.scaled(_COUNT)
        began = time.time()
        _put(store, [_GOOD[number % 2] for number in range(2 * count)], is_shared=is_shared)
        names = {_queue(topic, is_shared=is_shared) for topic in _GOOD}
        end = await_count(lambda: sum(store.stats(name).done for name in names), 2 * count)
        delays = _delays(store, folder / "delays", turn.scaled(_TIMED), is_shared=is_shared)
    return {_RATE.format(way, who): 2 * count / (end - began), _DELAY.format(way, who): 1000 * median(delays)}


def _file(topics: Sequence[str], *, is_shared: bool) -> str:
    lines = ['[store]\nurl = "sqlite:///mqtt_queue.db"\n[processor]\nbatch = 100\nhandler_timeout = "1s"']
    for topic in topics:
        lines += [
            "[[route]]",
            f'name = "{topic}"',
            f'handler = "bench.handlers:{_HANDLERS.get(topic, "note_if_timed")}"',
        ]
        lines += [
            f'queues = ["{_queue(topic, is_shared=is_shared)}"]',
            *([f'topics = ["{topic}"]'] if is_shared else []),
        ]
    return "\n".join([*lines, ""])


def _queue(topic: str, *, is_shared: bool) -> str:
    return "#" if is_shared else topic


def _put(store: Store, topics: Sequence[str], *, is_shared: bool) -> None:
    at = time.time()
    store.put([Incoming(_queue(topic, is_shared=is_shared), topic, reading(n), at) for n, topic in enumerate(topics)])


def _is_at_rest(process: FmqProcess, backlog: int, *, is_shared: bool) -> bool:
    """Whether the circuits of the bad routes are open, and nearly all of their messages set aside."""
    values = dict(line.rsplit(" ", 1) for line in process.get("metrics").splitlines() if not line.startswith("#"))
    parked = sum(float(values[f'fmq_route_parked_total{{route="{topic}"}}']) for topic in _BAD)
    is_open = all(float(values[f'fmq_circuit_open{{route="{topic}"}}']) for topic in _BAD)
    return is_open and (not is_shared or parked >= 0.99 * backlog)


def _delays(store: Store, noted: Path, count: int, *, is_shared: bool) -> list[float]:
    """Seconds from a commit to the handler, for each of some messages."""
    rng = random.Random(1)
    for number in range(count):
        time.sleep(rng.uniform(0.01, 0.03))
        topic = _GOOD[number % 2]
        at = time.time()
        store.put([Incoming(_queue(topic, is_shared=is_shared), topic, repr(at).encode(), at)])
    await_count(lambda: noted.read_text(encoding="ascii").count("\n"), count)
    return [float(line) for line in noted.read_text(encoding="ascii").split()]
