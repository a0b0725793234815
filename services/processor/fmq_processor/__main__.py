"""``fmq process``: the command, and the order in which a processor starts and stops."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from fmq.cli.main import EXIT_FAULT, exit_code, run, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.handler import Handler
from fmq.message import serve_store
from fmq.service.config.exposure import log_config
from fmq.service.http.health import Heartbeat, serve_health
from fmq.service.lifecycle import Shutdown
from fmq.service.log import announce, configure, shorten
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.collectors import StoreCollector, show_process
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.service.reporting.notify import Reporter, ServiceManager
from fmq.service.reporting.presence import Presence, process_name
from fmq.service.retrying import until_available
from fmq.service.threads import StopGuard, limit_exit, supervise_others
from fmq.service.upkeep import Upkeep
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq.text import without_password
from fmq_processor.assembly import make_worker
from fmq_processor.draining import Drain
from fmq_processor.engine.latency import TimeInSystem
from fmq_processor.engine.worker import Worker
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.guards.readiness import Readiness
from fmq_processor.handler_loading import Choice, handler_options
from fmq_processor.help import ProcessCommand
from fmq_processor.reloading import arguments_without_reload, serve_reloading
from fmq_processor.routes import load_routes
from fmq_processor.runners.current import current_fields
from fmq_processor.runners.hooks import set_up, tear_down
from fmq_processor.runners.protocol import Runner
from fmq_processor.settings import ProcessorSettings

_log = logging.getLogger(__name__)
_USUAL_PORT = 9465
_STOP_SECONDS = 1.0
_CALLED = {"topics": "TOPIC", "batch": "BATCH", "sleep": "SLEEP"}


@click.command("process", cls=ProcessCommand, short_help="Pass queued messages to a handler.")
@click.argument("topic", required=False, metavar="[TOPIC")
@click.argument("batch_argument", required=False, metavar="[BATCH")
@click.argument("sleep_argument", required=False, metavar="[SLEEP]]]")
@click.option(
    "--drain",
    is_flag=True,
    help="End when no message is due, with exit code 0. Messages that wait for a retry are left for the next run.",
)
@click.option(
    "--reload",
    is_flag=True,
    help="For development: start again when a Python file in the working directory or the file of settings changes.",
)
@settings_options(ProcessorSettings)
@handler_options
def process(
    topic: str | None,
    batch_argument: str | None,
    sleep_argument: str | None,
    *,
    drain: bool,
    reload: bool,
    **flags: object,
) -> int:
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
    if reload:
        return serve_reloading(arguments_without_reload())
    settings, routes = load_routes({**flags, **given}, os.environ, arguments=called, before_import=_configure_log)
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    try:
        code = _serve(settings, routes[0].choice, shutdown, drain=drain)
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
        context=current_fields,
    )
    log_config(settings.config)


def _serve(settings: ProcessorSettings, choice: Choice, shutdown: Shutdown, *, drain: bool) -> int:
    """Run a processor until ``shutdown``, with ``drain`` until nothing is due. Returns its exit code."""
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
    show_process(registry, service="processor")
    handler = choice.make(registry)
    heartbeat = Heartbeat()
    shown = shorten(", ".join(settings.queues)) or "all queues"
    with ExitStack() as stack:
        stack.enter_context(StopGuard(shutdown, grace=settings.grace_seconds))
        reporter = Reporter(
            ServiceManager(os.environ),
            heartbeat=heartbeat,
            shutdown=shutdown,
            grace=settings.grace_seconds,
            status=lambda: f"handling messages of {shown} by {handler.name}",
        )
        stack.enter_context(reporter)
        if settings.tracing == "otel":
            from fmq.service.tracing import start_tracing  # noqa: PLC0415 - an extra, and slow to load
            from fmq_processor.tracing import traced  # noqa: PLC0415 - an optional dependency

            tracer, end_tracing = start_tracing("processor")
            stack.callback(end_tracing)
            handler = traced(handler, tracer, metrics.handle_seconds)
        store = stack.enter_context(_open(settings, shutdown, check=settings.check_integrity))
        backend_of(settings.queue_url).protect(settings.queue_url)
        # A connection serves one thread, so scrapes and readiness checks have their own.
        registry.register(StoreCollector(stack.enter_context(_open(settings, shutdown, check=False))))
        circuit = CircuitReport(metrics)
        commit = CommitWatch(SYSTEM_CLOCK, heartbeat)
        readiness = Readiness(stack.enter_context(_open(settings, shutdown, check=False)), circuit, commit)
        identity = until_available(shutdown)(store.identity)
        serve_store(identity)
        if handler.know_store:
            handler.know_store(identity)
        worker, runner = make_worker(
            settings,
            handler=handler,
            store=store,
            metrics=metrics,
            heartbeat=heartbeat,
            circuit=circuit,
            commit=commit,
            name=process_name(),
        )
        latency = TimeInSystem(metrics.time_in_system_seconds)

        def state() -> Mapping[str, object]:
            return {
                "queues": list(settings.queues),
                "handler": handler.name,
                "circuit": circuit.note,
                "in_hand": worker.holds,
                "time_in_system": latency.last_minute(),
            }

        kept = stack.enter_context(_open(settings, shutdown, check=False))
        retention = settings.retention if settings.upkeep else None
        stack.enter_context(Upkeep(kept, retention, shutdown, presence=Presence("processor", heartbeat, state)))
        server = serve_health(
            settings,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=readiness.checks,
            notes=readiness.notes,
            shutdown=shutdown,
        )
        stack.callback(server.close)
        announce(
            _log,
            f"Starting processor for topic: {shown}",
            store=without_password(settings.queue_url),
            handler=handler.name,
            http_port=server.port,
        )

        if drain:
            looking = stack.enter_context(_open(settings, shutdown, check=False))
            patience = settings.circuit_maximum
            stack.enter_context(
                Drain(looking, settings.queues, shutdown, is_down=lambda: circuit.note != "closed", patience=patience)
            )

        def on_ready() -> None:
            readiness.handler_is_ready()
            reporter.ready()

        fine = _work(settings, handler, worker, runner, shutdown, heartbeat, on_ready)
        fine = fine and shutdown.failure is None
    code = 0 if fine else EXIT_FAULT
    if not runner.stop(_STOP_SECONDS):
        # A call that hangs can't be stopped; nothing that Python does at the end may wait for it.
        _log.warning("Handler calls still hang; ending without them")
        logging.shutdown()
        os._exit(code)
    return code


def _work(
    settings: ProcessorSettings,
    handler: Handler,
    worker: Worker,
    runner: Runner,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
    on_ready: Callable[[], None],
) -> bool:
    """Set the handler up, work, tear it down. Returns whether everything succeeded."""

    def not_stopped_for(seconds: float) -> Callable[[], bool]:
        stopped_at: list[float] = []

        def keep_waiting() -> bool:
            heartbeat.beat()
            if shutdown.requested and not stopped_at:
                stopped_at.append(time.monotonic())
            return not stopped_at or time.monotonic() - stopped_at[0] < seconds

        return keep_waiting

    runner.start()
    if not set_up(runner, handler.setup, keep_waiting=not_stopped_for(settings.grace_for_handlers)):
        _log.error("The handler's setup did not end in time")
        return False
    on_ready()
    trouble = worker.run(shutdown)
    shutdown.request()  # the rest has a limited time, whatever ended the work
    torn_down = tear_down(
        runner, handler.teardown, keep_waiting=not_stopped_for(settings.grace_seconds - settings.grace_for_handlers)
    )
    _log.info("Stopped")
    return trouble is None and torn_down


def _open(settings: ProcessorSettings, shutdown: Shutdown, *, check: bool) -> Store:
    """Open the store, and retry while it is unavailable."""
    options = settings.model_copy(update={"check_integrity": check}).store_options(Durability.NORMAL)
    return until_available(shutdown)(open_store, settings.queue_url, options)


def main() -> NoReturn:
    """The entry point of ``fmq-process``."""
    run(process)


if __name__ == "__main__":
    main()
