"""A worker on a real SQLite queue whose clock the test moves, and whose rounds the test asks for."""

import inspect
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import apsw
from prometheus_client import CollectorRegistry

from fmq.handler import Handler
from fmq.message import Claim, DeadLetter, Incoming, Properties, QueueStats
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.metrics import ProcessorMetrics
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq_processor.assembly import Served, make_supervisor
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.routes import MAIN
from fmq_processor.settings import ProcessorSettings
from support.clock import FakeClock
from support.wait import wait_for

QUEUE = "dstdb"


@dataclass(frozen=True)
class BenchRoute:
    """A route with a handler function. ``made`` counts how often its handler was made anew."""

    name: str
    handle: Callable[..., Any]
    settings: dict[str, Any] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    setup: Callable[[], Any] | None = None
    made: list[int] = field(default_factory=list)

    def served(self, url: str, metrics: ProcessorMetrics) -> Served:
        handler = Handler(
            "test",
            self.handle,
            is_async=inspect.iscoroutinefunction(self.handle),
            is_batch=bool(getattr(self.handle, "__fmq_batch__", False)),
            setup=self.setup,
        )

        def again() -> Handler:
            self.made.append(1)
            return handler

        return Served(
            name=self.name,
            settings=ProcessorSettings(queue_url=url, **self.settings),
            handler=handler,
            again=again,
            circuit=CircuitReport(metrics, self.name),
            topics=self.topics,
        )


class Workbench:
    """``settings`` are those of the processor; a second connection puts messages and looks at what became of them."""

    def __init__(self, folder: Path, handle: Callable[..., Any], **settings: Any) -> None:  # noqa: ANN401
        self._serve(folder, [BenchRoute(MAIN, handle, settings)])
        (self.lane,) = self.worker.lanes
        self.runner = self.lane.worker.runner

    def _serve(self, folder: Path, routes: "Sequence[BenchRoute]") -> None:
        self.path = folder / "queue.db"
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.heartbeat = Heartbeat(clock=self.clock)
        self.shutdown = Shutdown()
        url = f"sqlite:///{self.path}"
        options = StoreOptions(busy_seconds=0.05)
        self.queue = open_store(url, options, clock=self.clock)
        self.other = open_store(url, options, clock=self.clock)
        self.metrics = ProcessorMetrics(self.registry)
        self.worker = make_supervisor(
            [route.served(url, self.metrics) for route in routes],
            store=self.queue,
            metrics=self.metrics,
            heartbeat=self.heartbeat,
            clock=self.clock,
            rng=random.Random(7),
        )

    def put(
        self, *payloads: bytes, topic: str = QUEUE, queue: str = QUEUE, properties: Properties | None = None
    ) -> None:
        self.other.declare(queue)
        self.other.put(
            [Incoming(queue, topic, payload, self.clock.wall(), properties=properties) for payload in payloads]
        )

    def turn_until(self, condition: Callable[[], object], deadline: float = 10.0, *, what: str = "the worker") -> None:
        """Let the worker go round until ``condition`` holds."""

        def turned() -> bool:
            if condition():
                return True
            for _ in range(4):
                self.worker.turn()
            return bool(condition())

        wait_for(turned, deadline, what=what)

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.worker.turn()

    def stats(self, queue: str = QUEUE) -> QueueStats:
        return self.other.stats(queue)

    def dead(self, queue: str = QUEUE) -> list[DeadLetter]:
        return list(self.other.dead_letters(queue))

    def states(self, queue: str = QUEUE) -> tuple[int, int, int, int]:
        """Pending, claimed, done, dead."""
        stats = self.stats(queue)
        return stats.pending, stats.claimed, stats.done, stats.dead

    def borrow(self, limit: int = 1, *, lease: float = 60.0) -> list[Claim]:
        """Claim as another worker would."""
        return list(self.other.claim(QUEUE, limit, lease=lease))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While another writer does not let go, so that the store is unavailable."""
        blocker = apsw.Connection(str(self.path))
        blocker.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            blocker.execute("ROLLBACK")
            blocker.close()

    def reached(self, name: str, value: float) -> Callable[[], bool]:
        """Whether a metric of the queue has come to ``value``, to wait for."""
        return lambda: self.metric(name) == value

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series that have these labels and are of the queue, or of none."""
        samples = (sample for family in self.registry.collect() for sample in family.samples if sample.name == name)
        return sum(
            sample.value
            for sample in samples
            if sample.labels.get("queue", QUEUE) == QUEUE and labels.items() <= sample.labels.items()
        )

    def __enter__(self) -> Self:
        self.worker.start()
        for lane in self.worker.lanes:
            lane.step()
        return self

    def __exit__(self, *exc: object) -> None:
        self.worker.stop(5)
        self.queue.close()
        self.other.close()
        self.shutdown.close()


class RoutesBench(Workbench):
    """The same with several routes."""

    def __init__(self, folder: Path, *routes: BenchRoute) -> None:
        self._serve(folder, routes)

    def of_route(self, name: str, route: str) -> float:
        """The value of a metric of ``route``, all its other labels together."""
        return self.metric(name, route=route)


def messages_of(caplog_records: list[logging.LogRecord], part: str) -> list[logging.LogRecord]:
    """The log records with ``part`` in their message."""
    return [record for record in caplog_records if part in record.getMessage()]
