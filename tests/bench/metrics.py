"""What /metrics of a listener and of a processor costs with 1, 50 and 500 queues: series, bytes, and time of the CPU."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from types import SimpleNamespace

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from bench.measure import Figures, Goal, Round, Table
from fmq.message import Incoming
from fmq.outcome import Dead, Done, RetryLater
from fmq.service.http import health  # noqa: F401 - leaves out the times at which series began, as in every service
from fmq.service.metrics import OUTCOMES, ListenerMetrics, ProcessorMetrics
from fmq.service.reporting.collectors import show_process
from fmq.service.reporting.store_collector import StoreCollector
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.postgres import Postgres

_QUEUES = (1, 50, 500)
_SCRAPES = 9
_OPEN_METRICS = "application/openmetrics-text;version=1.0.0"  # as Prometheus asks
_PACKING = 1
_LISTENER, _LISTENER_PG = "listener, SQLite", "listener, PostgreSQL"
_PROCESSOR, _ALONE, _PER_QUEUE = "processor", "processor without a listener", "processor, FMQ_METRICS_QUEUE_HISTOGRAMS"
_PAGES = (_LISTENER, _LISTENER_PG, _PROCESSOR, _ALONE, _PER_QUEUE)
_MEASURES = {
    "series": "Series of a scrape.",
    "bytes": "Bytes of a scrape, as Prometheus asks for it (OpenMetrics).",
    "bytes with gzip": "The same, packed.",
    "ms": f"CPU time of the service for a scrape with the store's figures and gzip, the median of {_SCRAPES}.",
    "ms that the client waits": "The same, with what the PostgreSQL server does. Depends on what else the machine does.",
}


def _row(page: str, queues: int, measure: str) -> str:
    return f"{page}: {queues} {'queue' if queues == 1 else 'queues'}, {measure}"


TABLES = tuple(
    Table(
        f"metrics-{number}",
        f"Scrapes: {measure}",
        about,
        tuple(_row(page, count, measure) for page in _PAGES for count in _QUEUES),
        unit=measure,
        less_is_better=True,
    )
    for number, (measure, about) in enumerate(_MEASURES.items(), 1)
)
GOALS = tuple(
    Goal(f"scrape of 500 queues: {page}", _row(page, 500, "ms"), most=100, unit=" ms") for page in _PAGES[:-1]
)


def measure(turn: Round) -> Figures:
    """Each page with its store in this process, where nothing but the scrape runs."""
    figures: Figures = {}
    for count in _QUEUES:
        with ExitStack() as stack:
            sqlite = stack.enter_context(_filled(f"sqlite:///{turn.folder}/{count}.db", count))
            server = stack.enter_context(Postgres())
            postgres = stack.enter_context(_filled(server.url, count))
            pages = {
                _LISTENER: _listener(sqlite, count),
                _LISTENER_PG: _listener(postgres, count),
                _PROCESSOR: _processor(sqlite, count, shows_queues=lambda _: False),
                _ALONE: _processor(sqlite, count, shows_queues=lambda _: True),
                _PER_QUEUE: _processor(sqlite, count, shows_queues=lambda _: False, per_queue=True),
            }
            for page, registry in pages.items():
                for name, value in _scraped(registry).items():
                    figures[_row(page, count, name)] = value
    return figures


def _scraped(registry: CollectorRegistry) -> Figures:
    encode: Callable[[CollectorRegistry], bytes] = choose_encoder(_OPEN_METRICS)[0]
    body, packed = b"", b""
    cpu, wall = [], []
    for _ in range(_SCRAPES):
        began = SimpleNamespace(cpu=time.process_time(), wall=time.perf_counter())
        body = encode(registry)
        packed = gzip.compress(body, _PACKING)
        cpu.append(1000 * (time.process_time() - began.cpu))
        wall.append(1000 * (time.perf_counter() - began.wall))
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    return dict(zip(_MEASURES, (series, len(body), len(packed), median(cpu), median(wall)), strict=True))


def _names(count: int) -> list[str]:
    return [f"plant/line{number:03d}/+/temperature" for number in range(count)]


@contextmanager
def _filled(url: str, count: int) -> Iterator[Store]:
    """A store whose queues all have messages: waiting, due for a retry later, claimed, done and dead."""
    with open_store(url) as store:
        for name in _names(count):
            store.declare(name)
        store.put([Incoming(name, name, b"x", time.time()) for name in _names(count) for _ in range(5)])
        for name in _names(count):
            done, dead, retry, _ = store.claim(name, 4, lease=3_600)
            store.settle([(done, Done()), (dead, Dead("x")), (retry, RetryLater(600))])
        yield store


def _listener(store: Store, count: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = ListenerMetrics(registry)
    metrics.start_at_zero(_names(count))
    for name in _names(count):
        metrics.subscribed.labels(name).set_function(lambda: True)
        metrics.stored.labels(name).inc(12_345)
        metrics.last_stored.labels(name).set(time.time())
    show_process(registry, service="listener")
    registry.register(StoreCollector(store))
    return registry


def _processor(
    store: Store, count: int, *, shows_queues: Callable[[Store], bool], per_queue: bool = False
) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry, per_queue=per_queue)
    metrics.start_at_zero(_names(count))
    metrics.start_route_at_zero("main")
    for name in _names(count):
        for outcome in OUTCOMES:
            metrics.processed.labels(name, outcome).inc(12_345)
        metrics.last_done.labels(name).set(time.time())
        for histogram in (metrics.handle_seconds, metrics.wait_seconds, metrics.time_in_system_seconds):
            metrics.timed(histogram, "main", name).observe(0.123)
    show_process(registry, service="processor")
    registry.register(StoreCollector(store, shows_queues=shows_queues))
    return registry
