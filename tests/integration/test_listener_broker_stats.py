"""What a real Mosquitto says of itself, next to the messages of queues."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from fmq.service.lifecycle import Shutdown
from fmq_listener.mqtt.broker_stats import BrokerStats
from fmq_listener.settings import ListenerSettings
from support.broker import Broker, free_port, publish
from support.processes import FmqProcess, Processes
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """Keeps 20 messages for who is away, and tells of itself every second; not started."""
    made = Broker(tmp_path / "broker")
    made.configure(["sys_interval 1"], most_queued=20)
    return made


def _figure(listener: FmqProcess, name: str) -> float | None:
    found = re.search(rf"^fmq_broker_{name} (.+)$", listener.get("metrics"), re.MULTILINE)
    return float(found[1]) if found else None


@VERSIONS
def test_what_the_broker_drops_is_shown_and_never_stored(
    broker: Broker, fmq: Processes, database: Path, version: str
) -> None:
    """100 messages for a listener that is away and for which 20 are kept: 80 are lost, and it can be seen.

    Its queues hold what was published and nothing of $SYS, even that of the filter #.
    """
    settings = {"FMQ_BROKER_URL": broker.url, "FMQ_BROKER_STATS": "true", "FMQ_MQTT_VERSION": version}
    with broker:
        first = fmq.start("listen", "#", **settings)
        first.wait_to_say("Connected and subscribed")
        wait_for(lambda: _figure(first, "dropped_messages_total") == 0, what="the broker's figures")
        assert (_figure(first, "stored_messages") or 0) > 0
        assert (_figure(first, "stored_bytes") or 0) > 0
        assert "-stats" in broker.log
        assert first.terminate() == 0
        publish(broker.port, [("t", b"%d" % number) for number in range(100)])
        second = fmq.start("listen", "#", **settings)
        second.wait_to_say("Connected and subscribed")
        wait_for(lambda: _figure(second, "dropped_messages_total") == 80, what="80 dropped messages")
        rows = Rows(database)
        wait_for(lambda: rows.count("#") == 20, what="the 20 that were kept")
        assert {row.topic for row in rows.all("#")} == {"t"}


def test_figures_of_a_broker_that_is_away_are_gone(broker: Broker, fmq: Processes) -> None:
    """An old figure would look like a fresh one; they come back by themselves with the broker."""
    with broker:
        listener = fmq.start(
            "listen", "w", FMQ_BROKER_URL=broker.url, FMQ_BROKER_STATS="true", FMQ_RECONNECT_MAX_SECONDS="0.2"
        )
        listener.wait_to_say("Connected and subscribed")
        wait_for(lambda: _figure(listener, "stats_up") == 1, what="the broker's figures")
        broker.stop()
        wait_for(lambda: _figure(listener, "stats_up") == 0, what="the end of the figures")
        assert _figure(listener, "dropped_messages_total") is None
        broker.start()
        wait_for(lambda: _figure(listener, "dropped_messages_total") == 0, what="the figures to be back")


def test_nobody_asks_who_is_not_told_to(broker: Broker, fmq: Processes) -> None:
    """Off by default: no second connection, no such metric."""
    with broker:
        listener = fmq.start("listen", "w", FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="one")
        listener.wait_to_say("Connected and subscribed")
        assert "fmq_broker_" not in listener.get("metrics")
        assert "one-stats" not in broker.log


def test_a_broker_that_is_not_there_holds_nobody_up() -> None:
    """Closing does not wait for it, and figures are none."""
    settings = ListenerSettings.model_validate({"topics": "w", "broker_url": f"mqtt://127.0.0.1:{free_port()}"})
    with closing(Shutdown()) as shutdown:
        stats = BrokerStats(settings, client_id="one", shutdown=shutdown)
        stats.start()
        assert stats.figures == {}
        stats.close()
