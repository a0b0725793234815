"""Which broker the demo uses, and how it is reported to run."""

from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.environment import load
from fmq_demo.broker import Kind, mosquitto_config, provide_broker
from fmq_demo.client import BrokerUnreachable
from fmq_demo.meter import retries
from fmq_demo.processes import Crew


def test_a_given_broker_has_to_answer(tmp_path: Path) -> None:
    """Otherwise the listener would try to reach it forever; no process is started."""
    settings = load(BrokerSettings, {}, {"FMQ_BROKER_URL": "mqtt://127.0.0.1:1"})
    with pytest.raises(BrokerUnreachable, match=r"mqtt://127\.0\.0\.1:1 can't be reached: Connection refused"):
        provide_broker(Kind.AUTO, settings, Crew(tmp_path), tmp_path, stop=lambda: False)


def test_a_given_broker_has_to_be_given(tmp_path: Path) -> None:
    """--broker given without an address says what is missing."""
    with pytest.raises(SettingsError, match="FMQ_BROKER_URL"):
        provide_broker(Kind.GIVEN, BrokerSettings(), Crew(tmp_path), tmp_path, stop=lambda: False)


def test_mosquitto_is_for_this_machine_alone(tmp_path: Path) -> None:
    """It listens on the loopback interface, and queues more than its default for a listener that is away."""
    lines = mosquitto_config(1234, tmp_path).split("\n")
    assert "listener 1234 127.0.0.1" in lines
    assert "max_queued_messages 1000000" in lines


def test_retries_are_read_from_the_metrics() -> None:
    """By queue; other series do not count."""
    text = (
        "# TYPE fmq_processed_total counter\n"
        'fmq_processed_total{outcome="retry",queue="a/+"} 3.0\nfmq_processed_total{outcome="retry",queue="b"} 0.0\n'
        'fmq_processed_total{outcome="done",queue="a/+"} 9.0\n'
    )
    assert retries(text) == {"a/+": 3, "b": 0}
