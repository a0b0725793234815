"""Queues that are deleted while a real listener and a real processor run."""

from pathlib import Path

import pytest

from fmq.store.backends import open_store
from support.backends import BACKENDS, EACH_STORE
from support.broker import Broker, publish
from support.processes import Processes
from support.wait import wait_for


@pytest.fixture(params=EACH_STORE)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of each kind."""
    return BACKENDS[request.param](tmp_path).url


def test_services_go_on(broker: Broker, fmq: Processes, url: str) -> None:
    """The command refuses while the listener runs. If the queue is gone all the same, the next message creates it again."""
    listener = fmq.start("listen", "a/#", FMQ_BROKER_URL=broker.url, FMQ_QUEUE_URL=url)
    listener.wait_to_say("Connected and subscribed")
    processor = fmq.start("process", FMQ_RETENTION_SECONDS="forever", FMQ_QUEUE_URL=url)
    with open_store(url, create=False) as store:
        wait_for(lambda: len(store.services()) == 2, what="both reports")
        for number in range(1, 4):
            publish(broker.port, [("a/1", b"x")])
            wait_for(lambda: store.names() and store.stats("a/#").done == 1, what="the handled message")
            assert [one.id for one in store.messages("a/#", range(1, 9))] == [number]
            refused = fmq.start("queue", "delete", "a/#", "--yes", FMQ_QUEUE_URL=url)
            assert refused.wait() == 1
            assert "subscribes to a/#" in refused.text
            assert store.delete_queue("a/#")
        publish(broker.port, [("a/1", b"x")])
        wait_for(lambda: store.names() and store.stats("a/#").done == 1, what="the message after the deletion")
        assert len(listener.said("Creating the queue again")) == 3
        assert "Intake stopped" not in listener.text
        assert listener.terminate() == 0
        deleted = fmq.start("queue", "delete", "a/#", "--yes", FMQ_QUEUE_URL=url)
        assert deleted.wait() == 0, deleted.text
        assert list(store.names()) == []
        assert processor.running
        assert processor.terminate() == 0
        assert not [line for line in processor.log + listener.log if line["level"] in ("ERROR", "CRITICAL")]
