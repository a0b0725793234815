"""`fmq migrate` while messages come in and are handled: nobody has to wait, nothing is lost and nothing comes twice."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_HANDLER = """
from pathlib import Path


def handle(message):
    with Path("handled").open("a") as out:
        print(message.text, file=out)
"""
_MESSAGES = 1_200
_PART = _MESSAGES // 4


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.mark.timeout(240)
def test_intake_goes_on(broker: Broker, fmq: Processes, server: Postgres, database: Path, tmp_path: Path) -> None:
    """The listener is restarted on the new store, with the same session at the broker; the old backlog follows, once."""
    (tmp_path / "handlers.py").write_text(_HANDLER)
    handled = tmp_path / "handled"
    old = {"FMQ_QUEUE_URL": f"sqlite:///{database}", "FMQ_BROKER_URL": broker.url, "FMQ_DUPLICATES": "session"}
    new = {**old, "FMQ_QUEUE_URL": server.url}

    def process(where: dict[str, str]) -> FmqProcess:
        return fmq.start("process", FMQ_HANDLER="handlers:handle", FMQ_RETENTION_SECONDS="forever", **where)

    listener = fmq.start("listen", "a/#", **old)
    listener.wait_to_say("Connected and subscribed", 60)
    parts = [range(start, start + _PART) for start in range(0, _MESSAGES, _PART)]
    _publish(broker, parts[0])
    publisher = threading.Thread(target=_publish, args=(broker, parts[1]))
    publisher.start()
    assert listener.terminate() == 0
    publisher.join()
    _publish(broker, parts[2])  # the broker keeps them
    migration = fmq.start("migrate", "--from", old["FMQ_QUEUE_URL"], "--to", server.url, "--rate", "200")
    wait_for(lambda: "Start the listener" in migration.text, 60, what="the preparation")
    listener = fmq.start("listen", "a/#", **new)
    listener.wait_to_say("Connected and subscribed", 60)
    processors = [process(old), process(new)]
    _publish(broker, parts[3])
    assert migration.wait(120) == 0, migration.text
    wait_for(lambda: handled.exists() and len(handled.read_text().split()) >= _MESSAGES, 90, what="all messages")
    for service in (*processors, listener):
        assert service.terminate(60) == 0
    assert Counter(handled.read_text().split()) == Counter(map(str, range(_MESSAGES)))
    with open_store(old["FMQ_QUEUE_URL"]) as first, open_store(server.url) as second:
        assert first.stats("a/#").pending + first.stats("a/#").claimed == 0
        assert second.recall("client ids") == first.recall("client ids")


def _publish(broker: Broker, numbers: range) -> None:
    publish(broker.port, ((f"a/{number % 9}", str(number).encode()) for number in numbers))
