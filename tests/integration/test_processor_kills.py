"""Processors that die, and several on one queue. The number of messages: FMQ_TEST_MESSAGES, 2,000 by default."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.counting import counted, counters, query
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "dstdb"
MESSAGES = int(os.environ.get("FMQ_TEST_MESSAGES", "2000"))
KILLS = 5
HANDLERS = """
import os, random, time

SEEN = os.open("seen", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

def note(message):
    os.write(SEEN, message.topic.encode() + b":" + message.payload + b"\\n")

def kill_itself(message):
    if message.payload == b"7":
        os._exit(9)
    time.sleep(0.05)  # the work of the others: long enough to be struck by that
    note(message)

def fail_sometimes(message):
    # By message and attempt, not by process: each one is done in the end.
    if random.Random(f"{message.id}.{message.retry_count}").random() < 0.2 and message.retry_count < 3:
        return False
    note(message)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "user_code.py").write_text(HANDLERS, encoding="utf-8")
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as opened:
        opened.declare(QUEUE)
        yield opened


def put(queue: Store, count: int, *, topics: int = 1) -> None:
    messages = [Incoming(QUEUE, f"t{number % topics}", b"%d" % number, time.time()) for number in range(count)]
    for start in range(0, count, 1_000):
        queue.put(messages[start : start + 1_000])


def seen(folder: Path) -> list[str]:
    path = folder / "seen"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def _is_over(process: FmqProcess, queue: Store, name: str = QUEUE) -> bool:
    return not process.running or queue.stats(name).dead > 0


def _has_seen(folder: Path, calls: int) -> bool:
    return len(seen(folder)) >= calls


@pytest.mark.parametrize("concurrency", [1, 20])
def test_a_message_that_kills_its_worker_ends_dead_and_takes_no_other_with_it(
    tmp_path: Path, queue: Store, processes: Processes, concurrency: int
) -> None:
    """After its attempts. Its first death strikes the whole batch, the others nothing but itself."""
    put(queue, 20)
    starts = 0
    while queue.stats(QUEUE).dead == 0:
        starts += 1
        assert starts < 10
        process = processes.start(
            "process",
            QUEUE,
            "20",
            "0.1",
            FMQ_HANDLER="user_code:kill_itself",
            FMQ_CONCURRENCY=concurrency,
            FMQ_LEASE_SECONDS=1,
            FMQ_MAX_RETRIES=2,
        )
        wait_for(partial(_is_over, process, queue), what="its death")
    wait_for(lambda: queue.stats(QUEUE).done == 19, what="the others")
    assert starts == 4  # three attempts, and the process that buries it
    (letter,) = queue.dead_letters(QUEUE)
    assert letter.message.payload == b"7"
    assert letter.reason == "its worker died or hung in each of 3 attempts"
    rows = query(tmp_path / "mqtt_queue.db", "SELECT max(retry_count) FROM msg_dstdb WHERE payload <> x'37'")
    assert rows[0][0] <= 1
    assert {one.partition(":")[2] for one in seen(tmp_path)} == {str(number) for number in range(20)} - {"7"}


SHARED = "t/+"
ROUTES = """
[processor]
lease_seconds = "1s"
max_retries = 2
batch = 20
concurrency = 4
"""
ROUTE = """
[[route]]
name = "{topic}"
queues = ["t/+"]
topics = ["{topic}"]
handler = "user_code:kill_itself"
"""


def test_a_message_that_kills_its_worker_takes_none_of_the_other_routes_with_it(
    tmp_path: Path, queue: Store, processes: Processes
) -> None:
    """Of three routes that share its queue: it ends dead after its attempts, and no good message does."""
    topics = ("t/0", "t/1", "t/2")
    (tmp_path / "fmq.toml").write_text(
        ROUTES + "".join(ROUTE.format(topic=topic) for topic in topics), encoding="utf-8"
    )
    queue.declare(SHARED)
    queue.put([Incoming(SHARED, topics[number % 3], b"%d" % number, time.time()) for number in range(100)])
    starts = 0
    while queue.stats(SHARED).dead == 0:
        starts += 1
        assert starts < 10
        process = processes.start("process", PYTHONPATH=tmp_path)
        wait_for(partial(_is_over, process, queue, SHARED), what="its death")
    wait_for(lambda: queue.stats(SHARED).done == 99, what="the others")
    (letter,) = queue.dead_letters(SHARED)
    assert letter.message.payload == b"7"
    assert starts == 4  # three attempts, and the process that buries it
    rows = query(tmp_path / "mqtt_queue.db", "SELECT max(retry_count) FROM msg_t__ WHERE payload <> x'37'")
    assert rows[0][0] <= 1


def stopped(workers: Sequence[FmqProcess]) -> list[int]:
    """The exit codes; a worker that came late is let start first, for before that a SIGTERM just ends it."""
    for worker in workers:
        worker.wait_to_say("Starting processor")
    return [worker.terminate() for worker in workers]


def test_several_processors_on_one_queue_share_it(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Without deaths, every message is handled exactly once."""
    put(queue, MESSAGES)
    workers = [processes.start("process", QUEUE, "20", "0", FMQ_HANDLER="user_code:note") for _ in range(3)]
    wait_for(lambda: queue.stats(QUEUE).done == MESSAGES, 15 + MESSAGES / 1000, what="all messages")
    assert stopped(workers) == [0, 0, 0]
    assert sorted(seen(tmp_path)) == sorted(f"t0:{number}" for number in range(MESSAGES))
    assert not any(worker.said("settled too late") for worker in workers)


def test_killed_processors_lose_nothing(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Two processors, SIGKILL five times at random moments: all is handled at least once, nothing stays claimed."""
    rng = random.Random(20261124)

    def start() -> FmqProcess:
        return processes.start(
            "process", QUEUE, "50", "0.1", FMQ_HANDLER="user_code:note", FMQ_LEASE_SECONDS=0.5, FMQ_MAX_RETRIES=50
        )

    workers = [start(), start()]
    stop = threading.Event()

    def feed() -> None:
        # Bit by bit, so that there is work in hand at every kill.
        with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as feeding:
            for first in range(0, MESSAGES, MESSAGES // 100):
                numbers = range(first, first + MESSAGES // 100)
                feeding.put([Incoming(QUEUE, "t0", b"%d" % number, time.time()) for number in numbers])
                if stop.wait(0.05):
                    return

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        for _ in range(KILLS):
            # Capped: on a slow machine nearly all may have been handled by now.
            handled = min(len(seen(tmp_path)) + rng.randrange(1, MESSAGES // 40), MESSAGES)
            wait_for(partial(_has_seen, tmp_path, handled), 30, what=f"{handled} calls")
            victim = rng.randrange(2)
            workers[victim].kill()
            workers[victim] = start()
    finally:
        feeder.join(60)
        stop.set()
    wait_for(lambda: queue.stats(QUEUE).done == MESSAGES, 30 + MESSAGES / 1000, what="all messages")
    assert stopped(workers) == [0, 0]
    calls = Counter(seen(tmp_path))
    assert set(calls) == {f"t0:{number}" for number in range(MESSAGES)}
    assert counted(tmp_path / "mqtt_queue.db")[QUEUE] == (0, 0, MESSAGES, 0)
    assert counted(tmp_path / "mqtt_queue.db") == counters(tmp_path / "mqtt_queue.db")


def test_order_is_kept_under_retries_and_concurrency(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Two processors with four calls at once and a fifth of all attempts failing: each topic stays in order."""
    put(queue, 400, topics=8)
    workers = [
        processes.start(
            "process",
            QUEUE,
            "20",
            "0.05",
            "--ordered",
            FMQ_HANDLER="user_code:fail_sometimes",
            FMQ_CONCURRENCY=4,
            FMQ_BACKOFF_INITIAL=0.01,
            FMQ_BACKOFF_MAXIMUM=0.02,
        )
        for _ in range(2)
    ]
    wait_for(lambda: queue.stats(QUEUE).done == 400, 60, what="all messages")
    assert stopped(workers) == [0, 0]
    calls = seen(tmp_path)
    for topic in range(8):
        mine = [int(one.partition(":")[2]) for one in calls if one.startswith(f"t{topic}:")]
        assert mine == list(range(topic, 400, 8))
