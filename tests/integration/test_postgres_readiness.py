"""Real services whose server waits for a standby that is not there."""

import json

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.standby import wait_for_setting
from support.wait import wait_for


@pytest.mark.postgres
def test_a_commit_that_waits_for_a_standby(broker: Broker, fmq: Processes) -> None:
    """Nothing is acknowledged, /readyz says that a commit is under way, /healthz stays well, and it continues automatically."""
    with Postgres() as server:
        listener = fmq.start("listen", "a", FMQ_QUEUE_URL=server.url, FMQ_BROKER_URL=broker.url)
        listener.wait_to_say("Connected and subscribed", 60)
        wait_for_setting(server, "synchronous_standby_names", "nobody")
        publish(broker.port, [("a", b"1")])
        _wait_until_noticed(listener)
        assert "fmq_store_writable 0.0" in listener.get("metrics")
        assert "fmq_acknowledged_total 0.0" in listener.get("metrics")
        wait_for_setting(server, "synchronous_standby_names", "")
        wait_for(lambda: json.loads(listener.get("readyz"))["status"] == "ok", 60, what="the listener to be ready")
        wait_for(lambda: "fmq_acknowledged_total 1.0" in listener.get("metrics"), 60, what="the acknowledgement")
        with open_store(server.url, create=False) as store:
            assert store.stats("a").stored == 1
        assert listener.terminate(60) == 0


@pytest.mark.postgres
def test_a_claim_that_waits_for_a_standby(fmq: Processes) -> None:
    """The same holds for a processor whose commits wait too, which they do only with FMQ_SYNCHRONOUS=FULL."""
    with Postgres() as server, open_store(server.url, StoreOptions(durability=Durability.NORMAL)) as store:
        store.declare("a")
        processor = fmq.start("process", "a", FMQ_QUEUE_URL=server.url, FMQ_SYNCHRONOUS="FULL")
        processor.wait_to_say("Starting processor", 60)
        wait_for_setting(server, "synchronous_standby_names", "nobody")
        store.put([Incoming("a", "a", b"1", 1.0)])
        _wait_until_noticed(processor)
        wait_for_setting(server, "synchronous_standby_names", "")
        wait_for(lambda: store.stats("a").done == 1, 60, what="the message to be done")
        wait_for(lambda: json.loads(processor.get("readyz"))["status"] == "ok", 60, what="the processor to be ready")
        assert processor.terminate(60) == 0


def _wait_until_noticed(service: FmqProcess) -> None:
    wait_for(lambda: "a commit has been under way for" in service.get("readyz"), 60, what="the commit to be noticed")
    assert json.loads(service.get("healthz"))["status"] == "ok"
