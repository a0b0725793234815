"""The handlers ``sql`` and ``mqtt`` in a real processor, while their real target or the processor itself goes away.

The number of messages: FMQ_TEST_MESSAGES, 2,000 by default.
"""

import itertools
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.subscriber import Subscriber
from support.wait import wait_for

QUEUE = "plant/#"
MESSAGES = int(os.environ.get("FMQ_TEST_MESSAGES", "2000"))
BATCH = 50
KILLS = max(1, MESSAGES // 3_000)
PATIENCE = 60 + MESSAGES / 200
_AWAY_SECONDS = 1.0 if MESSAGES < 10_000 else 15.0  # the longer one outlasts the patience of a call
_TABLE = """
CREATE TABLE reading (
    message_key UUID PRIMARY KEY, device TEXT NOT NULL, number INTEGER NOT NULL, received_at TIMESTAMPTZ NOT NULL
)
"""
_SQL = {
    "FMQ_SQL_TABLE": "reading",
    "FMQ_SQL_COLUMNS": "message_key=key,device=topic.2,number=json:/n,received_at=received_at",
    "FMQ_LEASE_SECONDS": 1,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    with Postgres() as running:
        yield running


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """The same, with an empty table."""
    server.execute("DROP TABLE IF EXISTS reading")
    server.execute(_TABLE)
    return server


@pytest.fixture
def queue(database: Path) -> Iterator[Store]:
    """An empty queue."""
    with open_store(f"sqlite:///{database}") as opened:
        opened.declare(QUEUE)
        yield opened


def put(queue: Store, numbers: range) -> None:
    """Store these messages."""
    for start in range(0, len(numbers), 1_000):
        piece = numbers[start : start + 1_000]
        queue.put([Incoming(QUEUE, "plant/a", b'{"n":%d}' % number, time.time()) for number in piece])


def parts(count: int) -> list[range]:
    """All messages in that number of parts; each is put while the previous one is being handled."""
    bounds = [MESSAGES * part // count for part in range(count + 1)]
    return [range(start, end) for start, end in itertools.pairwise(bounds)]


def figure(process: FmqProcess, name: str) -> float:
    """A series of the processor's /metrics."""
    line = next(line for line in process.get("metrics").splitlines() if line.startswith(f"{name} "))
    return float(line.rpartition(" ")[2])


def start_sql(fmq: Processes, server: Postgres) -> FmqProcess:
    return fmq.start("process", QUEUE, str(BATCH), "0.1", "--handler", "sql", FMQ_SQL_URL=server.url, **_SQL)


def start_mqtt(fmq: Processes, broker: Broker) -> FmqProcess:
    return fmq.start(
        "process",
        QUEUE,
        str(BATCH),
        "0.1",
        "--handler",
        "mqtt",
        "--mqtt-topic",
        "copy/{topic}",
        FMQ_MQTT_URL=broker.url,
        FMQ_LEASE_SECONDS=1,
    )


def rows(server: Postgres) -> int:
    return int(server.execute("SELECT count(*) FROM reading")[0][0])


def all_done(queue: Store) -> bool:
    stats = queue.stats(QUEUE)
    assert stats.dead == 0
    return stats.done == MESSAGES


def all_payloads() -> set[bytes]:
    return {b'{"n":%d}' % number for number in range(MESSAGES)}


def more_than_once(subscriber: Subscriber) -> int:
    """How many messages the broker had twice; not those that it repeated to its subscriber after a restart (DUP)."""
    counts = Counter(bytes(message.payload) for message in subscriber.messages if not message.dup)
    return sum(counts.values()) - len(counts)


@pytest.mark.postgres
class TestSql:
    def test_the_server_goes_away(self, fmq: Processes, queue: Store, postgres: Postgres) -> None:
        """Its messages wait, and each is one row when it is back; nothing is dead."""
        first, second = parts(2)
        put(queue, first)
        process = start_sql(fmq, postgres)
        wait_for(lambda: rows(postgres) > len(first) // 4, PATIENCE, what="the first rows")
        postgres.stop()
        stopped = time.monotonic()
        put(queue, second)
        process.wait_to_say("Trying again: the database accepts no rows")
        wait_for(lambda: time.monotonic() > stopped + _AWAY_SECONDS, what="the outage to last")
        postgres.start()
        wait_for(lambda: all_done(queue), PATIENCE, what="all messages")
        assert postgres.execute("SELECT count(*), count(DISTINCT number) FROM reading") == [(MESSAGES, MESSAGES)]
        stored, there = (figure(process, f'fmq_sql_rows_total{{result="{one}"}}') for one in ("stored", "duplicate"))
        # If the answer to a commit was lost with the connection, that batch comes again and its rows are there already.
        assert stored <= MESSAGES <= stored + min(there, BATCH)
        print(f"{MESSAGES} rows; {there:g} were there already when their messages came again")  # noqa: T201 - for pytest -s
        assert process.terminate() == 0

    def test_the_processor_is_killed(self, fmq: Processes, queue: Store, postgres: Postgres) -> None:
        """SIGKILL in the middle of the work: every message is exactly one row."""
        *before, last = parts(KILLS + 1)
        for part in before:
            put(queue, part)
            process = start_sql(fmq, postgres)
            wanted = part.start + len(part) // 2
            wait_for(lambda wanted=wanted: rows(postgres) >= wanted, PATIENCE, what=f"{wanted} rows")  # type: ignore[misc]
            process.kill()
        put(queue, last)
        process = start_sql(fmq, postgres)
        wait_for(lambda: all_done(queue), PATIENCE, what="all messages")
        assert postgres.execute("SELECT count(*), count(DISTINCT number) FROM reading") == [(MESSAGES, MESSAGES)]
        there = figure(process, 'fmq_sql_rows_total{result="duplicate"}')
        print(f"{MESSAGES} rows; the last processor found {there:g} there already")  # noqa: T201
        assert process.terminate() == 0

    def test_a_table_that_does_not_fit(self, fmq: Processes, queue: Store, postgres: Postgres) -> None:
        """The processor ends with exit code 2 and what is wrong in plain words, and no message is touched."""
        put(queue, range(10))
        postgres.execute("ALTER TABLE reading DROP COLUMN device")
        process = start_sql(fmq, postgres)
        assert process.wait() == 2
        assert "FMQ_SQL_COLUMNS has device, but the table has no such column" in process.text
        assert "Traceback" not in process.text
        assert queue.stats(QUEUE).pending == 10


class TestMqtt:
    def test_the_broker_goes_away(self, fmq: Processes, queue: Store, broker: Broker) -> None:
        """Every message arrives; what arrives twice is no more than what was on its way when the connection ended."""
        first, second = parts(2)
        put(queue, first)
        with Subscriber(broker.port, "copy/#") as subscriber:
            process = start_mqtt(fmq, broker)
            wait_for(lambda: len(subscriber.messages) > len(first) // 4, PATIENCE, what="the first messages")
            broker.stop()
            stopped = time.monotonic()
            put(queue, second)
            process.wait_to_say("Trying again")
            wait_for(lambda: time.monotonic() > stopped + _AWAY_SECONDS, what="the outage to last")
            broker.start()
            wait_for(lambda: all_done(queue), PATIENCE, what="all messages")
            wait_for(lambda: len(set(subscriber.payloads)) == MESSAGES, PATIENCE, what="all to arrive")
        assert set(subscriber.payloads) == all_payloads()
        twice = more_than_once(subscriber)
        assert twice <= figure(process, "fmq_mqtt_unanswered_total")
        assert figure(process, "fmq_mqtt_acknowledged_total") == MESSAGES
        print(f"{MESSAGES} messages arrived, {twice} of them twice")  # noqa: T201
        assert process.terminate() == 0

    def test_the_processor_is_killed(self, fmq: Processes, queue: Store, broker: Broker) -> None:
        """SIGKILL in the middle of the work: every message arrives, and at each kill no more than what was held twice."""
        *before, last = parts(KILLS + 1)
        with Subscriber(broker.port, "copy/#") as subscriber:
            for part in before:
                put(queue, part)
                process = start_mqtt(fmq, broker)
                wanted = part.start + len(part) // 2
                wait_for(lambda wanted=wanted: len(subscriber.messages) >= wanted, PATIENCE, what=f"{wanted}")  # type: ignore[misc]
                process.kill()
            put(queue, last)
            process = start_mqtt(fmq, broker)
            wait_for(lambda: all_done(queue), PATIENCE, what="all messages")
            wait_for(lambda: len(set(subscriber.payloads)) == MESSAGES, PATIENCE, what="all to arrive")
        assert set(subscriber.payloads) == all_payloads()
        twice = more_than_once(subscriber)
        assert twice <= KILLS * 2 * BATCH
        print(f"{MESSAGES} messages arrived, {twice} of them twice")  # noqa: T201
        assert process.terminate() == 0

    def test_a_loop(self, fmq: Processes, broker: Broker, database: Path) -> None:
        """Messages that are forwarded into the topic filter that they came from go round once, then they are dead."""
        listener = fmq.start("listen", QUEUE, FMQ_BROKER_URL=broker.url)
        listener.wait_to_say("Connected and subscribed successfully")
        process = fmq.start("process", QUEUE, "50", "0.1", "--handler", "mqtt", FMQ_MQTT_URL=broker.url)
        publish(broker.port, [("plant/a", b"%d" % number) for number in range(20)])
        with open_store(f"sqlite:///{database}") as queue:
            wait_for(lambda: queue.stats(QUEUE).dead == 20, what="the dead letters")
            assert {letter.message.payload for letter in queue.dead_letters(QUEUE)} == {b"%d" % n for n in range(20)}
            assert "it was forwarded from this queue and has come back" in queue.dead_letters(QUEUE)[0].reason
            stats = queue.stats(QUEUE)
            assert (stats.stored, stats.done, stats.pending) == (40, 20, 0)
        assert process.terminate() == 0
        assert listener.terminate() == 0
