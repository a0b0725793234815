"""``fmq process``: the command, and the order in which a processor starts and stops."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NoReturn

import click
import tenacity
from prometheus_client import CollectorRegistry

from fmq.cli import EXIT_FAULT, SettingsCommand, exit_code, run, settings_options
from fmq.errors import FmqError, StoreUnavailable
from fmq.handler import Handler
from fmq.health import HealthServer, Heartbeat
from fmq.lifecycle import Shutdown
from fmq.log import configure, shorten
from fmq.message import serve_store
from fmq.metrics import ProcessorMetrics, StoreCollector, show_process
from fmq.notify import Reporter, ServiceManager
from fmq.queue import Durability, Queue, guard_locks, open_queue
from fmq.threads import StopGuard, limit_exit, supervise_others
from fmq.upkeep import Upkeep
from fmq_processor.assembly import make_worker
from fmq_processor.choice import Choice, choose, handler_options
from fmq_processor.circuit import CircuitReport
from fmq_processor.hooks import set_up, tear_down
from fmq_processor.readiness import Readiness
from fmq_processor.runner import Runner
from fmq_processor.settings import ProcessorSettings
from fmq_processor.worker import Worker

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
    """Hand queued messages to a handler, BATCH at a time.

    TOPIC is a topic filter as the listener was given it; without it, every queue in FMQ_TOPICS is served, or every
    one there is, in turn. SLEEP is the longest that an idle processor waits, in seconds.
    """
    arguments = {"topics": topic and (topic,), "batch": batch_argument, "sleep": sleep_argument}
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given:
        if flags.get(name) is not None:
            raise click.UsageError(f"--{name} is given twice: as a flag and as an argument")
    called = {name: _CALLED[name] for name in given}
    settings, choice = choose({**flags, **given}, os.environ, arguments=called, before_import=_configure_log)
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    try:
        code = _serve(settings, choice, shutdown)
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


def _serve(settings: ProcessorSettings, choice: Choice, shutdown: Shutdown) -> int:
    """Run a processor until ``shutdown``. Returns its exit code."""
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
    show_process(registry, service="processor")
    handler = choice.make(registry)
    heartbeat = Heartbeat()
    shown = shorten(", ".join(settings.queues)) or "every queue there is"
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
            from fmq.otel import start_tracing  # noqa: PLC0415 - an extra, and slow to load
            from fmq_processor.otel import traced  # noqa: PLC0415

            tracer, end_tracing = start_tracing("processor")
            stack.callback(end_tracing)
            handler = traced(handler, tracer, metrics.handle_seconds)
        queue = stack.enter_context(_open(settings, shutdown, check=settings.check_integrity))
        guard_locks(settings.queue_url)
        # A connection serves one thread: the scrapes and the readiness checks have their own.
        registry.register(StoreCollector(stack.enter_context(_open(settings, shutdown, check=False))))
        circuit = CircuitReport(metrics)
        readiness = Readiness(stack.enter_context(_open(settings, shutdown, check=False)), circuit)
        if settings.upkeep:
            kept = stack.enter_context(_open(settings, shutdown, check=False))
            stack.enter_context(Upkeep(kept, settings.retention, shutdown))
        identity = _patiently(shutdown)(queue.identity)
        serve_store(identity)
        if handler.know_store:
            handler.know_store(identity)
        worker, runner = make_worker(
            settings, handler=handler, queue=queue, metrics=metrics, heartbeat=heartbeat, circuit=circuit
        )
        server = _health_server(settings, registry, heartbeat, readiness, shutdown)
        stack.callback(server.close)
        _log.info(
            "Starting processor for topic: %s",
            shown,
            extra={"handler": handler.name, "http_port": server.port},
        )

        def on_ready() -> None:
            readiness.handler_is_ready()
            reporter.ready()

        fine = _work(settings, handler, worker, runner, shutdown, heartbeat, on_ready)
        fine = fine and shutdown.failure is None
    code = 0 if fine else EXIT_FAULT
    if not runner.stop(_STOP_SECONDS):
        # A call that hangs can't be stopped; nothing that Python does at the end may wait for it.
        _log.warning("Handler calls still hang: ending without them")
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
    """Set the handler up, work, tear it down. Returns whether all went well."""

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
    shutdown.request()  # whatever ended the work, what follows has a limited time
    torn_down = tear_down(
        runner, handler.teardown, keep_waiting=not_stopped_for(settings.grace_seconds - settings.grace_for_handlers)
    )
    _log.info("Stopped")
    return trouble is None and torn_down


def _open(settings: ProcessorSettings, shutdown: Shutdown, *, check: bool) -> Queue:
    """Open the store, trying again while it can't be had."""
    options = settings.model_copy(update={"check_integrity": check}).store_options(Durability.NORMAL)
    return _patiently(shutdown)(open_queue, settings.queue_url, options)


def _patiently(shutdown: Shutdown) -> tenacity.Retrying:
    """Calls something again while the store is unavailable, until the shutdown."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(StoreUnavailable),
        wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=5),
        stop=lambda _: shutdown.requested,
        sleep=lambda seconds: void(shutdown.wait(seconds)),
        before_sleep=lambda state: _log.warning(
            "The store is unavailable, trying again: %s", state.outcome and state.outcome.exception()
        ),
        reraise=True,
    )


def void(_: object) -> None:
    """Forget a value."""


def _health_server(
    settings: ProcessorSettings,
    registry: CollectorRegistry,
    heartbeat: Heartbeat,
    readiness: Readiness,
    shutdown: Shutdown,
) -> HealthServer:
    try:
        return HealthServer(
            host=settings.http_host,
            port=settings.http_port,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=readiness.checks,
            notes=readiness.notes,
            shutdown=shutdown,
        )
    except OSError as error:
        raise FmqError(f"can't serve metrics on {settings.http_host}:{settings.http_port}: {error}") from error


def main() -> NoReturn:
    """The entry point of ``fmq-process``."""
    run(process)


if __name__ == "__main__":
    main()
