"""A processor from its start to its end, and the order in which its parts start and stop."""

import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from fmq.cli.main import EXIT_FAULT
from fmq.clock import SYSTEM_CLOCK
from fmq.message import serve_store
from fmq.service.http.health import Heartbeat, serve_health
from fmq.service.lifecycle import Shutdown
from fmq.service.log import announce, shorten
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.collectors import show_process
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.service.reporting.notify import Reporter, ServiceManager
from fmq.service.reporting.presence import Presence, process_name
from fmq.service.reporting.store_collector import StoreCollector, while_no_listener
from fmq.service.retrying import until_available
from fmq.service.threads import StopGuard
from fmq.service.upkeep import Upkeep
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq.text import without_password
from fmq_processor.assembly import Served, make_supervisor
from fmq_processor.engine.end_when_idle import EXIT_LEFT, EndWhenIdle
from fmq_processor.engine.supervisor import Supervisor
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.guards.readiness import Readiness
from fmq_processor.latency import TimeInSystem
from fmq_processor.route_handlers import Handlers
from fmq_processor.routes import Route
from fmq_processor.settings import ProcessorSettings
from fmq_processor.standing import Standing

_log = logging.getLogger(__name__)
_USUAL_PORT = 9465
_STOP_SECONDS = 1.0
_SHOWS_QUEUES: Mapping[str, Callable[[Store], bool]] = {
    "auto": while_no_listener,
    "always": lambda _: True,
    "never": lambda _: False,
}
"""By FMQ_METRICS_STORE."""


def serve(
    settings: ProcessorSettings, routes: Sequence[Route], shutdown: Shutdown, *, patience: float | None = None
) -> int:
    """Run a processor until ``shutdown``; with a ``patience`` in seconds (see EndWhenIdle) until nothing is due.

    Returns its exit code.
    """
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry, per_queue=settings.metrics_queue_histograms)
    show_process(registry, service="processor")
    handlers = Handlers(routes, registry)
    heartbeat = Heartbeat()
    shown = _shown(routes)
    with ExitStack() as stack:
        stack.enter_context(StopGuard(shutdown, grace=settings.grace_seconds))
        reporter = Reporter(
            ServiceManager(os.environ),
            heartbeat=heartbeat,
            shutdown=shutdown,
            grace=settings.grace_seconds,
            status=lambda: f"handling messages of {shown} by {handlers.names}",
        )
        stack.enter_context(reporter)
        if settings.tracing == "otel":
            from fmq.service.tracing import start_tracing  # noqa: PLC0415 - an extra, and slow to load
            from fmq_processor.tracing import traced  # noqa: PLC0415 - an optional dependency

            tracer, end_tracing = start_tracing("processor")
            stack.callback(end_tracing)
            handlers.decorate(
                lambda handler, route: traced(handler, tracer, partial(metrics.timed, metrics.handle_seconds, route))
            )
        store = stack.enter_context(_open(settings, shutdown, check=settings.check_integrity))
        backend_of(settings.queue_url).protect(settings.queue_url)
        # A connection serves one thread, so scrapes and readiness checks have their own.
        registry.register(
            StoreCollector(
                stack.enter_context(_open(settings, shutdown, check=False)),
                shows_queues=_SHOWS_QUEUES[settings.metrics_store],
            )
        )
        identity = until_available(shutdown)(store.identity)
        serve_store(identity)
        handlers.know_store(identity)
        circuits = {route.name: CircuitReport(metrics, route.name) for route in routes}
        served = [
            Served(
                name=route.name,
                settings=route.settings,
                handler=handlers.first(route),
                again=partial(handlers.again, route),
                circuit=circuits[route.name],
                topics=route.topics,
            )
            for route in routes
        ]
        commit = CommitWatch(SYSTEM_CLOCK, heartbeat)
        supervisor = make_supervisor(
            served, store=store, metrics=metrics, heartbeat=heartbeat, commit=commit, name=process_name()
        )
        standing = Standing(routes, handlers, supervisor, circuits)
        readiness = Readiness(stack.enter_context(_open(settings, shutdown, check=False)), commit, standing.checks)
        latency = TimeInSystem(metrics.queue_seconds)
        kept = stack.enter_context(_open(settings, shutdown, check=False))
        retention = settings.retention if settings.upkeep else None
        presence = Presence(
            "processor", heartbeat, lambda: {**standing.state(), "time_in_system": latency.last_minute()}
        )
        stack.enter_context(Upkeep(kept, retention, shutdown, presence=presence, registry=registry))
        server = serve_health(
            settings,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=readiness.checks,
            notes=standing.notes,
            shutdown=shutdown,
        )
        stack.callback(server.close)
        announce(
            _log,
            f"Starting processor for topic: {shown}",
            store=without_password(settings.queue_url),
            handler=handlers.names,
            http_port=server.port,
        )
        standing.log_routes()
        standing.log_misspelt(until_available(shutdown)(store.names))
        drain: EndWhenIdle | None = None
        if patience is not None:
            drain = EndWhenIdle(
                supervisor, store=store, metrics=metrics, shutdown=shutdown, clock=SYSTEM_CLOCK, patience=patience
            )
        after_turn = drain.after_turn if drain else lambda: None
        fine = _work(supervisor, settings, shutdown, reporter, after_turn) and shutdown.failure is None
        code = EXIT_FAULT if not fine else EXIT_LEFT if drain and not drain.report() else 0
    if not supervisor.stop(_STOP_SECONDS):
        # A call that hangs can't be stopped; nothing that Python does at the end may wait for it.
        _log.warning("Handler calls still hang; ending without them")
        logging.shutdown()
        os._exit(code)
    return code


def _work(
    supervisor: Supervisor,
    settings: ProcessorSettings,
    shutdown: Shutdown,
    reporter: Reporter,
    after_turn: Callable[[], None],
) -> bool:
    """Set the handlers up, work, tear them down. Returns whether everything succeeded."""
    # What was loaded until now lasts. Without this, each full collection of garbage walks through all of it.
    gc.collect()
    gc.freeze()
    supervisor.start()
    trouble = supervisor.run(shutdown, reporter.ready, after_turn)
    shutdown.request()  # the rest has a limited time, whatever ended the work
    torn_down = supervisor.tear_down(settings.grace_seconds - settings.grace_for_handlers)
    _log.info("Stopped")
    return trouble is None and torn_down


def _shown(routes: Sequence[Route]) -> str:
    """The queues of all routes, for people."""
    if not all(route.settings.queues for route in routes):
        return "all queues"
    return shorten(", ".join(dict.fromkeys(queue for route in routes for queue in route.settings.queues)))


def _open(settings: ProcessorSettings, shutdown: Shutdown, *, check: bool) -> Store:
    """Open the store, and retry while it is unavailable."""
    options = settings.model_copy(update={"check_integrity": check}).store_options(Durability.NORMAL)
    return until_available(shutdown)(open_store, settings.queue_url, options)
