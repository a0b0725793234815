"""Metrics that are read when they are scraped: the store, the broker, the process."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import fmq
from fmq.errors import QueueError
from fmq.store.overview import all_stats
from fmq.store.records import ServerState
from fmq.store.roles import Statistics

_log = logging.getLogger(__name__)


class StoreCollector(Collector):
    """The state of the store, read at each scrape from counters, at the same cost for any backlog.

    Uses its own connection. All services of a store show the same figures, so aggregate by ``max by (queue)``.
    """

    def __init__(self, store: Statistics) -> None:
        self._store = store
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        messages = GaugeMetricFamily("fmq_messages", "Messages in the store, by state.", labels=["queue", "state"])
        oldest = GaugeMetricFamily(
            "fmq_oldest_pending_timestamp_seconds",
            "Unix time at which the oldest pending message was received. Absent if none is pending.",
            labels=["queue"],
        )
        paused = GaugeMetricFamily(
            "fmq_queue_paused",
            "1 while a queue is paused and delivers nothing.",
            labels=["queue"],
        )
        up = GaugeMetricFamily("fmq_store_up", "1 if the store could be read for this scrape.")
        sizes = []
        try:
            with self._lock:
                queues = all_stats(self._store)
                store = self._store.store_stats()
                server = self._store.server_state()
        except (QueueError, OSError) as error:
            _log.warning("Reading the store for /metrics failed: %s", error)
            up.add_metric([], 0)
            return [up]
        for stats in queues:
            paused.add_metric([stats.name], int(stats.paused is not None))
            for state in ("pending", "claimed", "done", "dead"):
                messages.add_metric([stats.name, state], getattr(stats, state))
            if stats.oldest_pending_at is not None:
                oldest.add_metric([stats.name], stats.oldest_pending_at)
        for name, text, value in (
            ("fmq_database_bytes", "Size of the database.", store.database_bytes),
            ("fmq_wal_bytes", "Size of the write-ahead log.", store.wal_bytes),
            ("fmq_free_disk_bytes", "Free space on the store's disk.", store.free_disk_bytes),
        ):
            if value is not None:
                sizes.append(GaugeMetricFamily(name, text, value=value))
        up.add_metric([], 1)
        return [messages, oldest, paused, up, *sizes, *(() if server is None else _server(server))]


def _server(state: ServerState) -> Iterable[Metric]:
    """What a store on a database server has in addition. Figures that are unknown are absent."""
    gauges: Sequence[tuple[str, str, float | None]] = (
        ("primary", "1 while the store's connection is to a primary that takes writes.", state.is_primary),
        ("timeline", "Timeline of the server. It rises with each failover.", state.timeline),
        ("sync_standbys_wanted", "Synchronous standbys that a commit waits for.", state.standbys_wanted),
        ("sync_standbys", "Synchronous standbys that are streaming.", state.standbys_streaming),
        ("replication_lag_bytes", "Log that the best standby does not have on its disk yet.", state.lag_bytes),
        ("replication_lag_seconds", "Time by which the disk of the best standby is behind.", state.lag_seconds),
        (
            "oldest_transaction_seconds",
            "Age of the oldest transaction in the store's database; 0 if there is none.",
            state.oldest_transaction,
        ),
        (
            "oldest_snapshot_seconds",
            "Age of the oldest transaction that keeps the server from cleaning up dead rows; 0 if there is none.",
            state.oldest_snapshot,
        ),
    )
    for name, text, value in gauges:
        if value is not None:
            yield GaugeMetricFamily(f"fmq_store_{name}", text, value=value)
    text = "Dead rows among the unsettled messages of a queue, as the server estimates them."
    dead = GaugeMetricFamily("fmq_store_dead_rows", text, labels=["queue"])
    for queue, count in state.dead_rows.items():
        dead.add_metric([queue], count)
    yield dead
    for name, text, count in (
        (
            "reconnects",
            "Connections of this process to the store's server that replaced one that had ended.",
            state.reconnects,
        ),
        ("transaction_retries", "Transactions of this process that were run again after a deadlock.", state.retries),
    ):
        yield CounterMetricFamily(f"fmq_store_{name}", text, value=count)


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
    """Register ``fmq_build_info`` with the version, and process metrics with the prefix ``fmq_process_``."""
    Gauge(
        "fmq_build_info",
        "Always 1. The labels name the service and its version.",
        ["version", "service"],
        registry=registry,
    ).labels(fmq.__version__, service).set(1)
    ProcessCollector(namespace="fmq", registry=registry)
