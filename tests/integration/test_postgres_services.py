"""A real listener and real processors on one PostgreSQL server, which is restarted while they work."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.wait import wait_for

_HANDLER = """
from pathlib import Path


def handle(message):
    with Path("handled").open("a") as out:
        print(message.text, file=out)
"""
_MESSAGES = 2_000
_HALF = _MESSAGES // 2


@pytest.fixture
def server() -> Iterator[Postgres]:
    """Its power is not cut, but it crashes."""
    with Postgres() as running:
        yield running


@pytest.mark.postgres
@pytest.mark.timeout(240)
def test_nothing_is_lost_when_the_server_restarts(
    broker: Broker, fmq: Processes, server: Postgres, tmp_path: Path
) -> None:
    """All services go on as soon as it is back, every message is handled, and all of them end in order."""
    (tmp_path / "handlers.py").write_text(_HANDLER)
    handled = tmp_path / "handled"
    on_server = {"FMQ_QUEUE_URL": server.url, "FMQ_BROKER_URL": broker.url}

    def start(*arguments: str) -> FmqProcess:
        return fmq.start(*arguments, FMQ_HANDLER="handlers:handle", FMQ_RETENTION_SECONDS="forever", **on_server)

    listener = fmq.start("listen", "a/#", **on_server)
    listener.wait_to_say("Connected and subscribed", 60)
    processors = [start("process"), start("process")]
    publish(broker.port, ((f"a/{number % 9}", str(number).encode()) for number in range(_HALF)))
    wait_for(handled.exists, 60, what="the first handled message")
    server.restart()
    publish(broker.port, ((f"a/{number % 9}", str(number).encode()) for number in range(_HALF, _MESSAGES)))
    with open_store(server.url, create=False) as store:
        wait_for(lambda: store.stats("a/#").stored >= _MESSAGES, 90, what="all stored messages")
        wait_for(lambda: store.stats("a/#").done == store.stats("a/#").stored, 90, what="all handled messages")
        stats = store.stats("a/#")
    counts = Counter(handled.read_text().split())
    assert set(counts) == set(map(str, range(_MESSAGES)))
    # Only what was under way at the restart comes twice.
    assert sum(counts.values()) < _MESSAGES + 500
    status = fmq.start("status", **on_server)
    assert status.wait(60) == 0
    assert "a/#" in status.text
    assert f"{stats.done:,}" in status.text or str(stats.done) in status.text
    for service in (*processors, listener):
        assert service.terminate(60) == 0, service.text[-4_000:]
        assert not [line for line in service.log if line["level"] == "CRITICAL"]


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_a_listener_leaves_while_the_store_is_full(broker: Broker, fmq: Processes, server: Postgres) -> None:
    """With `--leave` it stores what its session holds and ends, though nobody has handled it: others will."""
    settings = {"FMQ_QUEUE_URL": server.url, "FMQ_BROKER_URL": broker.url, "FMQ_CLIENT_ID": "b", "FMQ_LEAVE_SECONDS": 1}
    listener = fmq.start("listen", "a/#", **settings)
    listener.wait_to_say("Connected and subscribed", 60)
    publish(broker.port, (("a/1", str(number).encode()) for number in range(50)))
    assert listener.terminate() == 0
    publish(broker.port, (("a/1", str(number).encode()) for number in range(50, 100)))
    leaving = fmq.start("listen", "--leave", "a/#", **settings)
    assert leaving.wait(60) == 0, leaving.text
    assert leaving.said("Left the broker")
    with open_store(server.url, create=False) as store:
        assert (store.stats("a/#").pending, store.stats("a/#").stored) == (100, 100)
