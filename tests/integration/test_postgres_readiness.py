"""A real listener whose server waits for a standby that is not there."""

import json

import pytest

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import Processes
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
        wait_for(
            lambda: "a commit has been under way for" in listener.get("readyz"), 60, what="the commit to be noticed"
        )
        assert json.loads(listener.get("healthz"))["status"] == "ok"
        assert "fmq_store_writable 0.0" in listener.get("metrics")
        assert "fmq_acknowledged_total 0.0" in listener.get("metrics")
        wait_for_setting(server, "synchronous_standby_names", "")
        wait_for(lambda: json.loads(listener.get("readyz"))["status"] == "ok", 60, what="the listener to be ready")
        wait_for(lambda: "fmq_acknowledged_total 1.0" in listener.get("metrics"), 60, what="the acknowledgement")
        with open_store(server.url, create=False) as store:
            assert store.stats("a").stored == 1
        assert listener.terminate(60) == 0
