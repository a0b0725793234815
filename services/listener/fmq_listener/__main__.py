"""The listener as a program: everything is made and put together here."""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from fmq.cli import EXIT_FAULT, read_settings, run, settings_options
from fmq.errors import SettingsError
from fmq.health import Checks, HealthServer, Heartbeat
from fmq.lifecycle import Shutdown
from fmq.log import configure, shorten
from fmq.metrics import BrokerCollector, ListenerMetrics, StoreCollector, show_process
from fmq.notify import Reporter, ServiceManager
from fmq.queue import Durability, open_queue
from fmq.threads import StopGuard, supervise_others
from fmq.upkeep import Upkeep
from fmq_listener import client_id as client_ids
from fmq_listener.admission import Admission
from fmq_listener.broker_stats import BrokerStats
from fmq_listener.ingest import Ingest
from fmq_listener.leave import leave
from fmq_listener.session import Session
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger("fmq_listener")
_USUAL_PORT = 9464


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("topics", nargs=-1, metavar="TOPIC…")
@click.option(
    "--leave",
    "leaving",
    is_flag=True,
    help="Before scaling in: take what the broker's session still holds until it is proven to be empty, end the session, "
    "wait until all is handled, and exit 0. In doubt, exit 1 and keep the session. Needs a running processor.",
)
@settings_options(ListenerSettings, but=("topics",))
def listen(topics: tuple[str, ...], *, leaving: bool, **flags: object) -> int:
    """Store every message of one TOPIC filter or more, and acknowledge it to the broker after the commit.

    Without arguments, the filters are those of FMQ_TOPICS.
    """
    settings = read_settings(ListenerSettings, {**flags, "topics": topics or None}, arguments={"topics": "TOPIC"})
    shown = shorten(", ".join(settings.topics))
    configure(service="listener", level=settings.log_level, style=settings.log_format, subject=shown.replace(", ", ","))
    _log.info("Starting listener for topic: %s", shown)
    return serve(settings, leaving=leaving)


def serve(settings: ListenerSettings, *, leaving: bool = False) -> int:
    """Run a listener until SIGTERM or SIGINT, or until it has left. Returns the exit code."""
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    if settings.mqtt_version != "5":
        _warn_of_3_1_1(settings)
    full = settings.store_options(Durability.FULL)
    beside = replace(settings.store_options(Durability.NORMAL), check_integrity=False)
    with ExitStack() as stack:
        stack.enter_context(StopGuard(shutdown, grace=settings.grace_seconds))
        queue = stack.enter_context(open_queue(settings.queue_url, full))
        for one in settings.filters:
            queue.declare(one.name)
        client_id = client_ids.choose(settings, queue, queue.identity())
        _log.info("Client id at the broker: %s", client_id)
        admission = Admission(settings, queue, client_id=client_id)
        session = Session(
            settings,
            client_id=client_id,
            queue=queue,
            shutdown=shutdown,
            leave=leaving,
            on_begin=admission.begin,
            on_subscribe_again=admission.subscribed_again,
        )
        registry = CollectorRegistry()
        metrics = ListenerMetrics(registry)
        metrics.start_at_zero(one.name for one in settings.filters)
        metrics.connected.set_function(lambda: session.subscribed)
        for one in settings.filters:
            metrics.subscribed.labels(one.name).set_function(partial(session.holds, one.name))
        show_process(registry, service="listener")
        if settings.broker_stats:
            stats = BrokerStats(settings, client_id=client_id, shutdown=shutdown)
            registry.register(BrokerCollector(lambda: stats.figures))
            stats.start()
            stack.callback(stats.close)
        registry.register(StoreCollector(stack.enter_context(open_queue(settings.queue_url, beside))))
        heartbeat = Heartbeat()
        on_stored = None
        if settings.tracing == "otel":
            from fmq.otel import start_tracing  # noqa: PLC0415 - an extra, and slow to load
            from fmq_listener.otel import ReceiveSpans  # noqa: PLC0415

            tracer, end_tracing = start_tracing("listener")
            stack.callback(end_tracing)
            on_stored = ReceiveSpans(tracer, metrics.commit_seconds)
        ingest = Ingest(
            settings,
            session=session,
            admission=admission,
            queue=queue,
            metrics=metrics,
            heartbeat=heartbeat,
            shutdown=shutdown,
            over=lambda: leaving and session.has_left,
            on_stored=on_stored,
        )
        upkeep = Upkeep(stack.enter_context(open_queue(settings.queue_url, beside)), settings.retention, shutdown)

        def store_problem() -> str | None:
            return ingest.store_problem or upkeep.problem

        metrics.store_writable.set_function(lambda: not store_problem())

        def ready() -> Checks:
            return {
                "store": store_problem(),
                "broker": session.problem,
            }

        def status() -> str:
            wrong = "; ".join(f"{name}: {what}" for name, what in ready().items() if what)
            return wrong or f"subscribed at {settings.broker}"

        stack.callback(_serve_http(settings, registry, heartbeat, ready, shutdown).close)
        stack.enter_context(upkeep)
        reporter = Reporter(
            ServiceManager(os.environ),
            heartbeat=heartbeat,
            shutdown=shutdown,
            grace=settings.grace_seconds,
            status=status,
        )
        stack.enter_context(reporter).ready()
        if not leaving:
            ingest.run()
            return EXIT_FAULT if shutdown.failure else 0
        fine = leave(settings, client_id, ingest=ingest, queue=queue, heartbeat=heartbeat, shutdown=shutdown)
        return 0 if fine and not shutdown.failure else EXIT_FAULT


def _warn_of_3_1_1(settings: ListenerSettings) -> None:
    """What MQTT 3.1.1 can't do or say, and these settings need."""
    if shared := [one.text for one in settings.filters if one.text != one.name]:
        _log.warning(
            "MQTT 3.1.1 can't say whether the broker has shared subscriptions: one that has none sends nothing for %s",
            ", ".join(map(shorten, shared)),
        )
    for mine, theirs in settings.overlaps:
        _log.warning(
            "%s and %s overlap: with MQTT 3.1.1 a message of both may be stored more than once in each",
            shorten(mine),
            shorten(theirs),
        )


def _serve_http(
    settings: ListenerSettings,
    registry: CollectorRegistry,
    heartbeat: Heartbeat,
    ready: Callable[[], Checks],
    shutdown: Shutdown,
) -> HealthServer:
    host, port = settings.http_host, settings.http_port
    try:
        server = HealthServer(
            host=host,
            port=port,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=ready,
            shutdown=shutdown,
        )
    except OSError as error:
        raise SettingsError(f"FMQ_HTTP_HOST={host!r}, FMQ_HTTP_PORT={port}: {error.strerror or error}") from error
    _log.info("Metrics and health are served on %s", server.url, extra={"port": server.port})
    return server


def main() -> NoReturn:
    """The entry point of ``fmq-listen``."""
    run(listen)


if __name__ == "__main__":
    main()
