"""The store's figures, read at each scrape."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from uuid import UUID

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fmq.errors import QueueError
from fmq.message import QueueStats
from fmq.store.records import ServerState
from fmq.store.roles import Store

_log = logging.getLogger(__name__)
_STATES = ("pending", "claimed", "done", "dead")
_LISTENER_SECONDS = 35.0
"""A listener reports every 10 seconds: one that has not for longer than this is gone."""


class StoreCollector(Collector):
    """The state of the store, read at each scrape from counters, at the same cost for any backlog.

    Uses its own connection. Several services of a store may show the same figures, so aggregate by ``max by (queue)``.
    """

    def __init__(self, store: Store, *, shows_queues: Callable[[Store], bool] = lambda _: True) -> None:
        """``shows_queues`` is asked at each scrape whether to show the figures of each queue."""
        self._store = store
        self._shows_queues = shows_queues
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("fmq_store_up", "1 if the store could be read for this scrape.")
        try:
            with self._lock:
                shows_queues = self._shows_queues(self._store)
                queues = self._store.all_stats() if shows_queues else None
                store = self._store.store_stats()
                server = self._store.server_state()
                identity = self._store.identity()
        except (QueueError, OSError) as error:
            _log.warning("Reading the store for /metrics failed: %s", error)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        sizes = [
            GaugeMetricFamily(name, text, value=value)
            for name, text, value in (
                ("fmq_database_bytes", "Size of the database.", store.database_bytes),
                ("fmq_wal_bytes", "Size of the write-ahead log.", store.wal_bytes),
                ("fmq_free_disk_bytes", "Free space on the store's disk.", store.free_disk_bytes),
            )
            if value is not None
        ]
        shown = [] if queues is None else _queues(queues)
        return [
            *shown,
            up,
            _info(identity),
            *sizes,
            *(() if server is None else _server(server, shows_queues=shows_queues)),
        ]


class StoreInfo(Collector):
    """Names the store, for a service that shows nothing else of it."""

    def __init__(self, identity: Callable[[], UUID]) -> None:
        """``identity`` may raise QueueError or TimeoutError: then the name is absent."""
        self._identity = identity

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        with suppress(QueueError, TimeoutError):
            yield _info(self._identity())


def while_no_listener(store: Store) -> bool:
    """Whether the store has no listener at the moment, so that somebody else has to show its queues."""
    return not any(one.report.kind == "listener" and one.unseen <= _LISTENER_SECONDS for one in store.services())


def _info(identity: UUID) -> Metric:
    text = "Always 1. The label is the first part of the store's identity, the same in all services of the store."
    info = GaugeMetricFamily("fmq_store_info", text, labels=["store"])
    info.add_metric([str(identity).partition("-")[0]], 1)
    return info


def _queues(queues: Sequence[QueueStats]) -> list[Metric]:
    messages = GaugeMetricFamily("fmq_messages", "Messages in the store, by state.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "fmq_oldest_pending_timestamp_seconds",
        "Unix time at which the oldest pending message was received. Absent if none is pending.",
        labels=["queue"],
    )
    due = GaugeMetricFamily(
        "fmq_oldest_due_timestamp_seconds",
        "Unix time since when the message that has been due for longest has been due: its receipt, the end of its delay, the time of "
        "its retry, or the end of its last lease. Absent if none is due.",
        labels=["queue"],
    )
    paused = GaugeMetricFamily("fmq_queue_paused", "1 while a queue is paused and delivers nothing.", labels=["queue"])
    for stats in queues:
        name = [stats.name]
        for state in _STATES:
            messages.add_metric([*name, state], getattr(stats, state))
        if stats.oldest_pending_at is not None:
            oldest.add_metric(name, stats.oldest_pending_at)
        if stats.oldest_due_at is not None:
            due.add_metric(name, stats.oldest_due_at)
        paused.add_metric(name, int(stats.paused is not None))
    return [messages, oldest, due, paused]


def _server(state: ServerState, *, shows_queues: bool) -> Iterable[Metric]:
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
    if shows_queues:
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
