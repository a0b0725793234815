"""How many series a queue has."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done
from fmq.service.http import health  # noqa: F401 - leaves out the times at which series began, as in every service
from fmq.service.metrics import OUTCOMES, ListenerMetrics, ProcessorMetrics, UpkeepMetrics
from fmq.service.reporting.store_collector import StoreCollector, while_no_listener
from fmq.store.backends import open_store
from fmq.store.records import ServerState, ServiceReport
from support.clock import FakeClock

_MOST = 20
_SERVER = ServerState(
    is_primary=True,
    timeline=1,
    standbys_wanted=0,
    standbys_streaming=0,
    lag_bytes=0,
    lag_seconds=0.0,
    oldest_transaction=0.0,
    oldest_snapshot=0.0,
    dead_rows={"q": 7},
    reconnects=0,
    retries=0,
)
_OTHER_LABELS = {"outcome": OUTCOMES}
"""The values of the labels that a series of a queue may have besides."""


def _everything_happens(metrics: object) -> None:
    """Make each series that a queue may have."""
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase) or "queue" not in metric._labelnames:
            continue
        others = [name for name in metric._labelnames if name != "queue"]
        assert len(others) <= 1, f"{metric} multiplies the series of a queue"
        for value in _OTHER_LABELS[others[0]] if others else ("",):
            metric.labels(**{"queue": "q", **dict.fromkeys(others, value)})


def _of_the_queue(*registries: CollectorRegistry) -> list[str]:
    return [
        sample.name
        for registry in registries
        for family in registry.collect()
        for sample in family.samples
        if sample.labels.get("queue") == "q"
    ]


def test_a_queue_has_at_most_20_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one listener and one processor together, with every metric and outcome, on a server, and with dead letters deleted."""
    clock = FakeClock()
    listener, processor = CollectorRegistry(), CollectorRegistry()
    with open_store(f"sqlite:///{tmp_path}/q.db", clock=clock) as store:
        store.declare("q")
        store.put([Incoming("q", "t", b"", clock.wall())] * 5, terms={4: Terms(delay=100)})
        claims = store.claim("q", 3, lease=60)
        store.settle([(claims[0], Done()), (claims[1], Dead("x"))])
        store.pause("q", "why")
        store.report(ServiceReport("listener a/1", "listener", "a", 1, "1", 0.0))
        monkeypatch.setattr(store, "server_state", lambda: _SERVER)
        listener.register(StoreCollector(store))
        processor.register(StoreCollector(store, shows_queues=while_no_listener))
        for metrics in (ListenerMetrics(listener), UpkeepMetrics(listener), ProcessorMetrics(processor)):
            _everything_happens(metrics)
        found = _of_the_queue(listener, processor)
    assert "fmq_store_dead_rows" in found
    assert "fmq_oldest_due_timestamp_seconds" in found
    assert len(found) <= _MOST, sorted(found)


def test_a_processor_shows_the_store_s_queues_while_there_is_no_listener(tmp_path: Path) -> None:
    """A listener that has not reported for half a minute is gone; what concerns the whole store is shown all the time."""
    clock = FakeClock()
    registry = CollectorRegistry()
    with open_store(f"sqlite:///{tmp_path}/q.db", clock=clock) as store:
        store.declare("q")
        registry.register(StoreCollector(store, shows_queues=while_no_listener))

        def shown() -> bool:
            assert registry.get_sample_value("fmq_store_up") == 1
            identity = str(store.identity()).partition("-")[0]
            assert registry.get_sample_value("fmq_store_info", {"store": identity}) == 1
            return bool(_of_the_queue(registry))

        assert shown()
        store.report(ServiceReport("processor a/2", "processor", "a", 2, "1", 0.0))
        assert shown()
        store.report(ServiceReport("listener a/1", "listener", "a", 1, "1", 0.0))
        assert not shown()
        clock.advance(30)
        assert not shown()
        clock.advance(10)
        assert shown()
        store.report(ServiceReport("listener a/1", "listener", "a", 1, "1", 0.0))
        assert not shown()
        store.withdraw("listener a/1")
        assert shown()


def test_histograms_by_queue_are_opt_in() -> None:
    """With them each route and queue has its own series; the web page's figures are in no scrape."""
    for per_queue in (False, True):
        registry = CollectorRegistry()
        metrics = ProcessorMetrics(registry, per_queue=per_queue)
        metrics.start_route_at_zero("main")
        for histogram in (metrics.handle_seconds, metrics.wait_seconds, metrics.time_in_system_seconds):
            metrics.timed(histogram, "main", "q").observe(1)
        metrics.queue_seconds.labels("q").observe(1)
        names = {name for name in _of_the_queue(registry) if name.endswith("_count")}
        wanted = {"fmq_handle_seconds_count", "fmq_wait_seconds_count", "fmq_time_in_system_seconds_count"}
        assert names == (wanted if per_queue else set())
        labels = {"route": "main", **({"queue": "q"} if per_queue else {})}
        assert registry.get_sample_value("fmq_handle_seconds_count", labels) == 1
