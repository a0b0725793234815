"""Metrics that are read when they are scraped: the broker, the process."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import fmq


class BrokerCollector(Collector):
    """Statistics of the broker; ``figures`` lacks those that it does not publish."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        up = "1 if the broker publishes statistics. Enabled by FMQ_BROKER_STATS."
        yield GaugeMetricFamily("fmq_broker_stats_up", up, value=bool(figures))
        if "dropped_messages" in figures:
            text = "Messages that the broker has dropped since its start, for all its clients."
            yield CounterMetricFamily("fmq_broker_dropped_messages", text, value=figures["dropped_messages"])
        for name, text in (
            ("stored_messages", "Messages that the broker holds: queued for all its clients, and retained."),
            ("stored_bytes", "Payload bytes of the messages that the broker holds."),
        ):
            if name in figures:
                yield GaugeMetricFamily(f"fmq_broker_{name}", text, value=figures[name])


def show_process(registry: CollectorRegistry, *, service: str) -> None:
    """Register ``fmq_build_info`` with the version, and the metrics of the process under their usual names (``process_…``)."""
    Gauge(
        "fmq_build_info",
        "Always 1. The labels name the service and its version.",
        ["version", "service"],
        registry=registry,
    ).labels(fmq.__version__, service).set(1)
    ProcessCollector(registry=registry)
