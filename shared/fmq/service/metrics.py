"""Every metric of fmq. ``docs/metrics.md`` is made from this module.

Seconds and bytes; the only labels that grow are ``queue`` and ``route``, which configuration bounds (never a concrete topic).
Each set is made for one registry, so that tests and services never share one.

There may be hundreds of queues: whatever has the label ``queue`` counts towards the 20 series that a queue may have in a listener
and a processor together (docs/adr/0036). Causes, durations and what is rare have the label ``route``.
"""

import logging
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.samples import Exemplar

from fmq.outcome import Cause

_log = logging.getLogger(__name__)
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
OUTCOMES = ("done", "skipped", "expired", "retry", "deferred", "dead")


class ListenerMetrics:
    """Metrics of a listener."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter("fmq_received", "Messages received from the broker.", registry=registry)
        self.stored = Counter("fmq_stored", "Messages committed to the store.", ["queue"], registry=registry)
        self.duplicate = Counter(
            "fmq_duplicate",
            "Duplicates acknowledged without storing them.",
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
        self.acknowledged = Counter("fmq_acknowledged", "PUBACKs and PUBRECs sent.", registry=registry)
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
            "fmq_last_stored_timestamp_seconds", "Unix time of the last stored message.", ["queue"], registry=registry
        )
        self.store_writable = _store_writable(registry)
        self.store_failures = Counter(
            "fmq_store_failures", "Failed commits. Intake pauses until one succeeds.", registry=registry
        )
        self.commit_seconds = Histogram(
            "fmq_commit_seconds", "Duration of a commit of received messages.", buckets=_FAST, registry=registry
        )
        self.batch_messages = Histogram("fmq_batch_messages", "Messages per commit.", buckets=_SIZES, registry=registry)

    def start_at_zero(self, queues: Iterable[str]) -> None:
        """Create the series of ``queues`` at 0, so that rates are right from the start."""
        for queue in queues:
            self.stored.labels(queue)


class ProcessorMetrics:
    """Metrics of a processor."""

    def __init__(self, registry: CollectorRegistry, *, per_queue: bool = False) -> None:
        """With ``per_queue`` the histograms have the label ``queue`` as well."""
        self.per_queue = per_queue
        self.processed = Counter(
            "fmq_processed",
            "Attempts settled, by outcome: done, skipped (by the filter), expired, retry, deferred (failed, but not counted) or dead.",
            ["queue", "outcome"],
            registry=registry,
        )
        self.last_done = Gauge(
            "fmq_last_done_timestamp_seconds",
            "Unix time of the last message that was done.",
            ["queue"],
            registry=registry,
        )
        self.route_processed = Counter(
            "fmq_route_processed",
            "Attempts settled, by route and outcome, as in fmq_processed_total.",
            ["route", "outcome"],
            registry=registry,
        )
        self.retries = Counter(
            "fmq_retries", "Attempts that will be retried, by cause of failure.", ["route", "reason"], registry=registry
        )
        self.dead_lettered = Counter(
            "fmq_dead_lettered",
            "Messages moved to dead letters, by cause of the last failure.",
            ["route", "reason"],
            registry=registry,
        )
        self.timeouts = Counter("fmq_timeouts", "Attempts that timed out.", ["route"], registry=registry)
        self.stale_settlements = Counter(
            "fmq_stale_settlements",
            "Settlements without effect because the lease had run out.",
            ["route"],
            registry=registry,
        )
        self.in_progress = Gauge(
            "fmq_in_progress", "Messages that a route has claimed and not settled.", ["route"], registry=registry
        )
        by = ["route", "queue"] if per_queue else ["route"]
        self.handle_seconds = Histogram(
            "fmq_handle_seconds", "Duration of a handler call.", by, buckets=_FAST, registry=registry
        )
        self.wait_seconds = Histogram(
            "fmq_wait_seconds",
            "Time from receipt to the start of the first attempt.",
            by,
            buckets=_SLOW,
            registry=registry,
        )
        self.time_in_system_seconds = Histogram(
            "fmq_time_in_system_seconds",
            "Time from receipt to the commit that the message is done.",
            by,
            buckets=_SLOW,
            registry=registry,
        )
        self.queue_seconds = Histogram("fmq_queue_seconds", "By queue.", ["queue"], buckets=_SLOW, registry=None)
        """The same by queue, for the web page: in no scrape."""
        self.store_writable = _store_writable(registry)
        self.settle_seconds = Histogram(
            "fmq_settle_seconds", "Duration of a commit of settlements.", buckets=_FAST, registry=registry
        )
        self.dead_letter_pauses = Counter(
            "fmq_dead_letter_pauses",
            "Pauses of a queue because too many of its messages died.",
            ["route"],
            registry=registry,
        )
        self.circuit_open = Gauge(
            "fmq_circuit_open",
            "1 while a route's circuit breaker is open: its handler's target counts as down and only probes are handled.",
            ["route"],
            registry=registry,
        )
        self.circuit_openings = Counter(
            "fmq_circuit_openings", "Times that a route's circuit breaker opened.", ["route"], registry=registry
        )
        self.circuit_probes = Counter(
            "fmq_circuit_probes",
            "Messages handled as probes while a route's circuit breaker was open.",
            ["route"],
            registry=registry,
        )
        self.route_parked = Counter(
            "fmq_route_parked",
            "Messages set aside for a route that had no room when another route of the same queue claimed them.",
            ["route"],
            registry=registry,
        )
        self.unrouted = Counter(
            "fmq_unrouted",
            "Times that a message matched no route, and was left in its queue for at least five minutes.",
            registry=registry,
        )
        self.route_replacements = Counter(
            "fmq_route_replacements",
            "Times that a route got a new handler because calls of the old one hung. A processor with one route ends instead.",
            ["route"],
            registry=registry,
        )
        self.rate_limited_seconds = Counter(
            "fmq_rate_limited_seconds",
            "Time in which due messages of a route waited because of FMQ_RATE_LIMIT.",
            ["route"],
            registry=registry,
        )
        self.store_failures = Counter(
            "fmq_store_failures", "Failed claims, extensions and settlements.", registry=registry
        )

    def timed(self, histogram: Histogram, route: str, queue: str) -> Histogram:
        """The series of one of the three histograms that messages of ``queue`` count in, when ``route`` handles them."""
        return histogram.labels(route, queue) if self.per_queue else histogram.labels(route)

    def start_at_zero(self, queues: Iterable[str]) -> None:
        """Create the series of ``queues`` at 0, so that rates are right from the start."""
        for queue in queues:
            for outcome in OUTCOMES:
                self.processed.labels(queue, outcome)

    def start_route_at_zero(self, route: str) -> None:
        """Create the series of a route at 0."""
        for outcome in OUTCOMES:
            self.route_processed.labels(route, outcome)
        for cause in Cause:
            self.retries.labels(route, cause)
            self.dead_lettered.labels(route, cause)
        for metric in (
            self.timeouts,
            self.stale_settlements,
            self.dead_letter_pauses,
            self.circuit_open,
            self.circuit_openings,
            self.circuit_probes,
            self.route_parked,
            self.route_replacements,
            self.rate_limited_seconds,
            self.in_progress,
        ):
            metric.labels(route)
        if not self.per_queue:
            for histogram in (self.handle_seconds, self.wait_seconds, self.time_in_system_seconds):
                histogram.labels(route)


class UpkeepMetrics:
    """Metrics of a service that deletes what retention lets go."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.discarded = Counter(
            "fmq_discarded",
            "Dead letters deleted because FMQ_DEAD_RETENTION_SECONDS had passed: no handler ever handled them. "
            "Absent while dead letters are kept forever.",
            ["queue"],
            registry=registry,
        )

    def start_at_zero(self, queues: Iterable[str]) -> None:
        """Create the series of ``queues`` at 0."""
        for queue in queues:
            self.discarded.labels(queue)


def show_alive(registry: CollectorRegistry, is_alive: Callable[[], bool]) -> None:
    """Register ``fmq_alive``. A service that is frozen as a whole answers no scrape, but one with a stuck loop does."""
    alive = Gauge("fmq_alive", "1 while the service's loop and threads are alive, as /healthz says.", registry=registry)
    alive.set_function(is_alive)


def _store_writable(registry: CollectorRegistry) -> Gauge:
    return Gauge("fmq_store_writable", "0 while this service can't write to the store.", registry=registry)


def observe_many(values: Sequence[float], *histograms: Histogram) -> None:
    """Observe many values in each of ``histograms``, which have the same buckets, at a tenth of the cost of ``observe``.

    Negative ones count as 0: spans of time, over which the clock was set.

    Uses private names of prometheus-client, which has no public way to observe many values. A unit test fails if an upgrade
    changes them.
    """
    ordered = sorted(values)
    if ordered and ordered[0] < 0:
        ordered = [max(0.0, value) for value in ordered]
    total = sum(ordered)
    counts: dict[int, int] = {}
    below = 0
    for index, bound in enumerate(histograms[0]._upper_bounds):  # noqa: SLF001 - see above
        up_to = bisect_right(ordered, bound, below)
        if up_to > below:
            counts[index] = up_to - below
            below = up_to
            if below == len(ordered):
                break
    for histogram in histograms:
        for index, count in counts.items():
            histogram._buckets[index].inc(count)  # noqa: SLF001 - see above
        histogram._sum.inc(total)  # noqa: SLF001 - see above


def attach_exemplar(histogram: Histogram, value: float, labels: Mapping[str, str]) -> None:
    """Add ``value``, which is counted elsewhere, as an exemplar of its bucket. Private names as above."""
    bucket = bisect_left(histogram._upper_bounds, value)  # noqa: SLF001 - see above
    histogram._buckets[bucket].set_exemplar(Exemplar(dict(labels), value, time.time()))  # noqa: SLF001 - see above
