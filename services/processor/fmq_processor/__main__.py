"""``fmq process``: the command, and the order in which a processor starts and stops."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from fmq.cli.main import EXIT_FAULT, SettingsCommand, exit_code, run, settings_options
from fmq.message import serve_store
from fmq.service.http.health import Heartbeat, serve_health
from fmq.service.lifecycle import Shutdown
from fmq.service.log import configure, shorten
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.collectors import StoreCollector, show_process
from fmq.service.reporting.notify import Reporter, ServiceManager
from fmq.service.reporting.presence import Presence, process_name
from fmq.service.retrying import until_available
from fmq.service.threads import StopGuard, limit_exit, supervise_others
from fmq.service.upkeep import Upkeep
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq_processor.assembly import Served, make_supervisor
from fmq_processor.engine.latency import TimeInSystem
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.guards.readiness import Readiness
from fmq_processor.handler_loading import handler_options
from fmq_processor.route_handlers import Handlers
from fmq_processor.routes import Route, load_routes
from fmq_processor.settings import ProcessorSettings
from fmq_processor.standing import Standing

_log = logging.getLogger(__name__)
_USUAL_PORT = 9465
_STOP_SECONDS = 1.0
_CALLED = {"topics": "TOPIC", "batch": "BATCH", "sleep": "SLEEP"}


@click.command("process", cls=SettingsCommand)
@click.argument("topic", required=False, metavar="[TOPIC")
@click.argument("batch_argument", required=False, metavar="[BATCH")
@click.argument("sleep_argument", required=False, metavar="[SLEEP]]")
@settings_options(ProcessorSettings)
@handler_options
def process(topic: str | None, batch_argument: str | None, sleep_argument: str | None, **flags: object) -> int:
    """Pass queued messages to a handler, BATCH at a time.

    TOPIC is a topic filter as given to the listener. Without it, fmq serves the queues in FMQ_TOPICS, or all queues, in turn.
    SLEEP is the longest wait of an idle processor, in seconds.
    """
    arguments = {"topics": topic and (topic,), "batch": batch_argument, "sleep": sleep_argument}
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if flags.get(name) is not None:
            raise click.UsageError(f"--{name} is given twice, as a flag and as an argument")
    called = {name: _CALLED[name] for name in given}
    settings, routes = load_routes({**flags, **given}, os.environ, arguments=called, before_import=_configure_log)
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    try:
        code = _serve(settings, routes, shutdown)
    except BaseException as error:
        limit_exit(exit_code(error))
        raise
    limit_exit(code)
    return code


def _configure_log(settings: ProcessorSettings) -> None:
    configure(
        service="processor",
        level=settings.log_level,
        style=settings.log_format,
        subject=shorten(",".join(settings.queues)),
    )


def _serve(settings: ProcessorSettings, routes: Sequence[Route], shutdown: Shutdown) -> int:
    """Run a processor until ``shutdown``. Returns its exit code."""
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
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
            handlers.decorate(lambda handler: traced(handler, tracer, metrics.handle_seconds))
        store = stack.enter_context(_open(settings, shutdown, check=settings.check_integrity))
        backend_of(settings.queue_url).protect(settings.queue_url)
        # A connection serves one thread, so scrapes and readiness checks have their own.
        registry.register(StoreCollector(stack.enter_context(_open(settings, shutdown, check=False))))
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
            )
            for route in routes
        ]
        supervisor = make_supervisor(served, store=store, metrics=metrics, heartbeat=heartbeat, name=process_name())
        standing = Standing(routes, handlers, supervisor, circuits)
        readiness = Readiness(stack.enter_context(_open(settings, shutdown, check=False)), standing.checks)
        latency = TimeInSystem(metrics.time_in_system_seconds)
        kept = stack.enter_context(_open(settings, shutdown, check=False))
        retention = settings.retention if settings.upkeep else None
        presence = Presence(
            "processor", heartbeat, lambda: {**standing.state(), "time_in_system": latency.last_minute()}
        )
        stack.enter_context(Upkeep(kept, retention, shutdown, presence=presence))
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
        _log.info(
            "Starting processor for topic: %s",
            shown,
            extra={"handler": handlers.names, "http_port": server.port},
        )
        standing.log_routes()
        supervisor.start()
        trouble = supervisor.run(shutdown, reporter.ready)
        shutdown.request()  # the rest has a limited time, whatever ended the work
        torn_down = supervisor.tear_down(settings.grace_seconds - settings.grace_for_handlers)
        _log.info("Stopped")
        fine = trouble is None and torn_down and shutdown.failure is None
    code = 0 if fine else EXIT_FAULT
    if not supervisor.stop(_STOP_SECONDS):
        # A call that hangs can't be stopped; nothing that Python does at the end may wait for it.
        _log.warning("Handler calls still hang; ending without them")
        logging.shutdown()
        os._exit(code)
    return code


def _shown(routes: Sequence[Route]) -> str:
    """The queues of all routes, for people."""
    if not all(route.settings.queues for route in routes):
        return "all queues"
    return shorten(", ".join(dict.fromkeys(queue for route in routes for queue in route.settings.queues)))


def _open(settings: ProcessorSettings, shutdown: Shutdown, *, check: bool) -> Store:
    """Open the store, and retry while it is unavailable."""
    options = settings.model_copy(update={"check_integrity": check}).store_options(Durability.NORMAL)
    return until_available(shutdown)(open_store, settings.queue_url, options)


def main() -> NoReturn:
    """The entry point of ``fmq-process``."""
    run(process)


if __name__ == "__main__":
    main()
