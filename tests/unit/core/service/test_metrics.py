"""The store's figures in Prometheus' words."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fmq.errors import StoreUnavailable
from fmq.message import Incoming
from fmq.outcome import Dead, Done
from fmq.service.metrics import ListenerMetrics, ProcessorMetrics
from fmq.service.reporting.collectors import BrokerCollector, show_process
from fmq.service.reporting.store_collector import StoreCollector
from fmq.store.backends import open_store


def test_the_store(tmp_path: Path) -> None:
    """Messages by state, the oldest pending one, and sizes, read at the scrape."""
    registry = CollectorRegistry()
    with open_store(f"sqlite:///{tmp_path}/q.db") as queue:
        registry.register(StoreCollector(queue))
        queue.declare("a/b")
        queue.put([Incoming("a/b", "t", b"", 1234.5) for _ in range(4)])
        claims = queue.claim("a/b", 3, lease=60)
        queue.settle([(claims[0], Done()), (claims[1], Dead("x"))])
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in registry.collect()
            for sample in family.samples
        }
    for state in ("pending", "claimed", "done", "dead"):
        assert samples["fmq_messages", "a/b", state] == 1
    assert samples["fmq_oldest_pending_timestamp_seconds", "a/b"] == 1234.5
    assert samples["fmq_queue_paused", "a/b"] == 0
    assert samples["fmq_store_up",] == 1
    assert samples["fmq_free_disk_bytes",] > 0
    assert samples["fmq_database_bytes",] + samples["fmq_wal_bytes",] > 0


def test_a_paused_queue(tmp_path: Path) -> None:
    """Shown for as long as it is paused."""
    registry = CollectorRegistry()
    with open_store(f"sqlite:///{tmp_path}/q.db") as queue:
        registry.register(StoreCollector(queue))
        queue.declare("a/b")
        queue.pause("a/b", "x")
        assert registry.get_sample_value("fmq_queue_paused", {"queue": "a/b"}) == 1
        queue.resume("a/b")
        assert registry.get_sample_value("fmq_queue_paused", {"queue": "a/b"}) == 0


def test_a_store_that_can_t_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrape still answers, and says so."""
    registry = CollectorRegistry()
    with open_store(f"sqlite:///{tmp_path}/q.db") as queue:

        def fail() -> list[str]:
            raise StoreUnavailable("disk I/O error")

        monkeypatch.setattr(queue, "all_stats", fail)
        registry.register(StoreCollector(queue))
        assert b"fmq_store_up 0.0" in generate_latest(registry)


def test_what_the_broker_does_not_say_is_not_shown() -> None:
    """A figure of 0 would be a lie; whether it says anything is a figure of its own."""
    said: dict[str, float] = {}
    registry = CollectorRegistry()
    registry.register(BrokerCollector(lambda: said))
    assert b"fmq_broker_stats_up 0.0" in generate_latest(registry)
    assert b"dropped" not in generate_latest(registry).split(b"fmq_broker_stats_up 0.0")[1]
    said["dropped_messages"] = 7
    page = generate_latest(registry)
    assert b"fmq_broker_stats_up 1.0" in page
    assert b"# TYPE fmq_broker_dropped_messages_total counter\nfmq_broker_dropped_messages_total 7.0\n" in page
    assert b"fmq_broker_stored" not in page


def test_series_begin_at_zero() -> None:
    """Known queues have all their counters before the first message."""
    listener, processor = CollectorRegistry(), CollectorRegistry()
    ListenerMetrics(listener).start_at_zero(["q"])
    ProcessorMetrics(processor).start_at_zero(["q"])
    show_process(processor, service="processor")
    text = generate_latest(listener).decode() + generate_latest(processor).decode()
    for series in (
        "fmq_received_total 0.0",
        'fmq_stored_total{queue="q"} 0.0',
        "fmq_duplicate_total 0.0",
        'fmq_processed_total{outcome="dead",queue="q"} 0.0',
        "fmq_connected 0.0",
        'fmq_build_info{service="processor",version="',
        "\nprocess_start_time_seconds ",
    ):
        assert series in text
