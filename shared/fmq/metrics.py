"""Every metric of fmq. ``docs/metrics.md`` is made from this module.

Seconds and bytes; the only label that grows is ``queue``, which configuration bounds (never a concrete topic).
Each set is made for one registry, so that tests and services never share one.
"""

import logging
import threading
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

import fmq
from fmq.errors import QueueError
from fmq.outcome import Cause
from fmq.queue import Queue

_log = logging.getLogger(__name__)
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
OUTCOMES = ("done", "skipped", "expired", "retry", "deferred", "dead")


class ListenerMetrics:
    """What a listener counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter("fmq_received", "Messages that the broker handed over.", ["queue"], registry=registry)
        self.stored = Counter("fmq_stored", "Messages committed to the store.", ["queue"], registry=registry)
        self.duplicate = Counter(
            "fmq_duplicate",
            "Messages acknowledged without storing, as duplicate suppression says.",
            ["queue"],
            registry=registry,
        )
        self.unroutable = Counter(
            "fmq_unroutable",
            "Messages that matched no topic filter; stored in the only filter's queue, or in $quarantine.",
            registry=registry,
        )
        self.quarantined = Counter(
            "fmq_quarantined",
            "Messages stored as dead letters in $quarantine: they matched no topic filter, or can't be parsed.",
            registry=registry,
        )
        self.oversized = Counter(
            "fmq_oversized_packets",
            "Messages larger than FMQ_MAX_PACKET_BYTES, neither stored nor acknowledged (QoS 0: lost), at each delivery.",
            registry=registry,
        )
        self.acknowledged = Counter(
            "fmq_acknowledged", "PUBACKs and PUBRECs handed to the connection.", registry=registry
        )
        self.stale_acknowledgements = Counter(
            "fmq_stale_acknowledgements",
            "PUBACKs and PUBRECs dropped because their connection had ended.",
            registry=registry,
        )
        self.reconnects = Counter("fmq_reconnects", "Connections to the broker after the first.", registry=registry)
        self.connected = Gauge("fmq_connected", "1 while connected and subscribed to every filter.", registry=registry)
        self.subscribed = Gauge(
            "fmq_subscribed",
            "1 while the broker has granted the queue's topic filter at QoS 1.",
            ["queue"],
            registry=registry,
        )
        self.last_stored = Gauge(
            "fmq_last_stored_timestamp_seconds", "When a message was stored last.", ["queue"], registry=registry
        )
        self.store_writable = _store_writable(registry)
        self.store_failures = Counter(
            "fmq_store_failures", "Commits that failed; intake pauses until one succeeds.", registry=registry
        )
        self.commit_seconds = Histogram(
            "fmq_commit_seconds", "Time of one commit of received messages.", buckets=_FAST, registry=registry
        )
        self.batch_messages = Histogram(
            "fmq_batch_messages", "Messages in one commit.", buckets=_SIZES, registry=registry
        )

    def start_at_zero(self, queues: Iterable[str]) -> None:
        """Show the series of ``queues`` before anything happens, so that rates have a beginning."""
        for queue in queues:
            for counter in (self.received, self.stored, self.duplicate):
                counter.labels(queue)


class ProcessorMetrics:
    """What a processor counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.processed = Counter(
            "fmq_processed",
            "Attempts settled, by outcome: done, skipped (by the filter), expired, retry, deferred (failed, but not counted) or dead.",
            ["queue", "outcome"],
            registry=registry,
        )
        self.failures = Counter("fmq_failures", "Attempts that did not end done.", ["queue"], registry=registry)
        self.retries = Counter(
            "fmq_retries", "Attempts that will be repeated, by why they failed.", ["queue", "reason"], registry=registry
        )
        self.dead_lettered = Counter(
            "fmq_dead_lettered",
            "Messages given up, by why the last attempt failed.",
            ["queue", "reason"],
            registry=registry,
        )
        self.timeouts = Counter("fmq_timeouts", "Attempts that ran out of their time.", ["queue"], registry=registry)
        self.stale_settlements = Counter(
            "fmq_stale_settlements",
            "Settlements without effect because the lease had passed on.",
            ["queue"],
            registry=registry,
        )
        self.in_progress = Gauge("fmq_in_progress", "Messages that this processor holds.", ["queue"], registry=registry)
        self.handle_seconds = Histogram(
            "fmq_handle_seconds", "Time of one handler call.", ["queue"], buckets=_FAST, registry=registry
        )
        self.wait_seconds = Histogram(
            "fmq_wait_seconds",
            "Time from receipt to the start of the first attempt.",
            ["queue"],
            buckets=_SLOW,
            registry=registry,
        )
        self.time_in_system_seconds = Histogram(
            "fmq_time_in_system_seconds",
            "Time from receipt to the commit that the message is done.",
            ["queue"],
            buckets=_SLOW,
            registry=registry,
        )
        self.last_done = Gauge(
            "fmq_last_done_timestamp_seconds", "When a message was done last.", ["queue"], registry=registry
        )
        self.store_writable = _store_writable(registry)
        self.settle_seconds = Histogram(
            "fmq_settle_seconds", "Time of one commit of settlements.", buckets=_FAST, registry=registry
        )
        self.dead_letter_pauses = Counter(
            "fmq_dead_letter_pauses",
            "How often a queue was paused because too many of its messages died.",
            ["queue"],
            registry=registry,
        )
        self.circuit_open = Gauge(
            "fmq_circuit_open",
            "1 while the handler's target counts as down and only probes are handled.",
            registry=registry,
        )
        self.circuit_openings = Counter(
            "fmq_circuit_openings", "How often the handler's target began to count as down.", registry=registry
        )
        self.circuit_probes = Counter(
            "fmq_circuit_probes", "Messages tried to see whether the handler's target is back.", registry=registry
        )
        self.store_failures = Counter(
            "fmq_store_failures", "Claims, extensions and settlements that failed.", registry=registry
        )

    def start_at_zero(self, queues: Iterable[str]) -> None:
        """Show the series of ``queues`` before anything happens, so that rates have a beginning."""
        for queue in queues:
            for outcome in OUTCOMES:
                self.processed.labels(queue, outcome)
            for cause in Cause:
                self.retries.labels(queue, cause)
                self.dead_lettered.labels(queue, cause)
            for metric in (self.failures, self.dead_letter_pauses, self.timeouts, self.stale_settlements):
                metric.labels(queue)
            self.in_progress.labels(queue)


def _store_writable(registry: CollectorRegistry) -> Gauge:
    return Gauge("fmq_store_writable", "0 while the store refuses what this service writes.", registry=registry)


class StoreCollector(Collector):
    """The state of the store, read at each scrape from counters that cost the same at any depth.

    It has a connection of its own; listener and processors of one store show the same figures, so take
    ``max by (queue)`` over them.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        messages = GaugeMetricFamily("fmq_messages", "Messages in the store, by state.", labels=["queue", "state"])
        oldest = GaugeMetricFamily(
            "fmq_oldest_pending_timestamp_seconds",
            "When the oldest pending message was received; absent if none is.",
            labels=["queue"],
        )
        paused = GaugeMetricFamily(
            "fmq_queue_paused",
            "1 while a queue is paused: its messages wait, and none is handed out.",
            labels=["queue"],
        )
        up = GaugeMetricFamily("fmq_store_up", "1 if the store could be read for this scrape.")
        sizes = []
        try:
            with self._lock:
                all_stats = [self._queue.stats(name) for name in self._queue.names()]
                store = self._queue.store_stats()
        except (QueueError, OSError) as error:
            _log.warning("The store can't be read for /metrics: %s", error)
            up.add_metric([], 0)
            return [up]
        for stats in all_stats:
            paused.add_metric([stats.name], int(stats.paused is not None))
            for state in ("pending", "claimed", "done", "dead"):
                messages.add_metric([stats.name, state], getattr(stats, state))
            if stats.oldest_pending_at is not None:
                oldest.add_metric([stats.name], stats.oldest_pending_at)
        for name, text, value in (
            ("fmq_database_bytes", "Size of the database file.", store.database_bytes),
            ("fmq_wal_bytes", "Size of the write-ahead log.", store.wal_bytes),
            ("fmq_free_disk_bytes", "Free space on the store's disk.", store.free_disk_bytes),
        ):
            sizes.append(GaugeMetricFamily(name, text, value=value))
        up.add_metric([], 1)
        return [messages, oldest, paused, up, *sizes]


class BrokerCollector(Collector):
    """What the broker says of itself; ``figures`` are without what it does not say."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        up = "1 if the broker says of itself what it drops and holds; asked for by FMQ_BROKER_STATS."
        yield GaugeMetricFamily("fmq_broker_stats_up", up, value=bool(figures))
        if "dropped_messages" in figures:
            text = "Messages that the broker has dropped since its start, of all its clients."
            yield CounterMetricFamily("fmq_broker_dropped_messages", text, value=figures["dropped_messages"])
        for name, text in (
            ("stored_messages", "Messages that the broker holds: queued ones of all its clients, and retained ones."),
            ("stored_bytes", "Their payloads."),
        ):
            if name in figures:
                yield GaugeMetricFamily(f"fmq_broker_{name}", text, value=figures[name])


def observe_many(histogram: Histogram, values: Sequence[float]) -> None:
    """What ``histogram.observe`` does for each value, at a tenth of its cost.

    Touches private names of prometheus-client, which offers nothing for many values at once; its unit test fails
    when an upgrade changes them.
    """
    bounds = histogram._upper_bounds  # noqa: SLF001
    for index, count in Counts(bisect_left(bounds, value) for value in values).items():
        histogram._buckets[index].inc(count)  # noqa: SLF001
    histogram._sum.inc(sum(values))  # noqa: SLF001


def attach_exemplar(histogram: Histogram, value: float, labels: Mapping[str, str]) -> None:
    """Let ``value``, which is counted elsewhere, stand as an example in its bucket. Private names as above."""
    bucket = bisect_left(histogram._upper_bounds, value)  # noqa: SLF001
    histogram._buckets[bucket].set_exemplar(Exemplar(dict(labels), value, time.time()))  # noqa: SLF001


def show_process(registry: CollectorRegistry, *, service: str) -> None:
    """Show ``fmq_build_info`` with the version, and what the process takes (its names have the prefix ``fmq_process_``)."""
    Gauge("fmq_build_info", "1; the labels tell what runs.", ["version", "service"], registry=registry).labels(
        fmq.__version__, service
    ).set(1)
    ProcessCollector(namespace="fmq", registry=registry)
