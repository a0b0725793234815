"""The time in system of the last minute, from a histogram."""

import pytest
from prometheus_client import CollectorRegistry

from fmq.service.metrics import ProcessorMetrics
from fmq_processor.latency import TimeInSystem


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_the_last_full_minute_counts() -> None:
    """Median and 95th percentile by queue; a queue without messages in that minute is left out."""
    metrics, clock = ProcessorMetrics(CollectorRegistry()), _Clock()
    seconds = metrics.queue_seconds
    seconds.labels("old").observe(100)
    latency = TimeInSystem(seconds, steady=clock)
    for _ in range(90):
        seconds.labels("q").observe(0.02)
    for _ in range(10):
        seconds.labels("q").observe(4.0)
    clock.now = 59.0
    assert latency.last_minute() == {}
    clock.now = 60.0
    found = latency.last_minute()
    assert set(found) == {"q"}
    assert found["q"]["count"] == 100
    assert found["q"]["p50"] < 0.1
    assert 1.0 < found["q"]["p95"] <= 5.0
    clock.now = 90.0
    assert latency.last_minute() == found
    clock.now = 120.0
    assert latency.last_minute() == {}


def test_values_beyond_the_largest_bucket() -> None:
    """The largest finite bound is all that is known of them."""
    metrics, clock = ProcessorMetrics(CollectorRegistry()), _Clock()
    latency = TimeInSystem(metrics.queue_seconds, steady=clock)
    metrics.queue_seconds.labels("q").observe(1e9)
    clock.now = 60.0
    bounds = [float(s.labels["le"]) for f in metrics.queue_seconds.collect() for s in f.samples if "le" in s.labels]
    assert latency.last_minute()["q"]["p50"] == pytest.approx(sorted(bounds)[-2])
