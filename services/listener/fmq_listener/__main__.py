"""``fmq listen``: the command, and the order in which a listener starts and stops."""

import gc
import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import NoReturn

import click
from prometheus_client import CollectorRegistry

from fmq.cli.help import SettingsCommand
from fmq.cli.main import EXIT_FAULT, begin_service, read_settings, run, settings_options
from fmq.service.config.exposure import log_config
from fmq.service.http.health import Checks, Heartbeat, serve_health
from fmq.service.lifecycle import Shutdown
from fmq.service.log import announce, configure, shorten
from fmq.service.metrics import ListenerMetrics
from fmq.service.reporting.certificates import CertificateCollector
from fmq.service.reporting.collectors import BrokerCollector, show_process
from fmq.service.reporting.notify import Reporter, ServiceManager
from fmq.service.reporting.presence import Presence
from fmq.service.reporting.store_collector import StoreCollector
from fmq.service.retrying import until_available
from fmq.service.threads import StopGuard, supervise_others
from fmq.service.upkeep import Upkeep
from fmq.store.backends import open_store
from fmq.store.options import Durability
from fmq.text import without_password
from fmq_listener.assembly import make_listener
from fmq_listener.intake.ingest import OnStored
from fmq_listener.intake.leave import leave
from fmq_listener.mqtt.broker_stats import BrokerStats
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger("fmq_listener")
_USUAL_PORT = 9464
_OBJECTS_BEFORE_COLLECTION = 50_000
"""More than a usual batch makes; the default of Python is 700."""


@click.command(cls=SettingsCommand, short_help="Store messages of topic filters, then acknowledge them.")
@click.argument("topics", nargs=-1, metavar="TOPIC…")
@click.option(
    "--leave",
    "leaving",
    is_flag=True,
    help="Before scaling in: drain the broker's session until it is proven to be empty, end the session, "
    "wait until everything is handled, and exit 0. In doubt, keep the session and exit 1. Needs a running processor.",
)
@settings_options(ListenerSettings, but=("topics",))
def listen(topics: tuple[str, ...], *, leaving: bool, **flags: object) -> int:
    """Store all messages of the TOPIC filters, and acknowledge each to the broker after its commit.

    Without arguments, the filters are those of FMQ_TOPICS, or of the configuration file.
    """
    begin_service("listener", flags)
    settings = read_settings(
        ListenerSettings, {**flags, "topics": topics or None}, arguments={"topics": "TOPIC"}, strict=True
    )
    shown = shorten(", ".join(settings.topics))
    configure(service="listener", level=settings.log_level, style=settings.log_format, subject=shown.replace(", ", ","))
    store = without_password(settings.queue_url)
    log_config(settings.config)
    announce(_log, f"Starting listener for topic: {shown}", store=store, broker=settings.broker)
    return serve(settings, leaving=leaving)


def serve(settings: ListenerSettings, *, leaving: bool = False) -> int:
    """Run a listener until SIGTERM or SIGINT, or until it has left. Returns the exit code."""
    shutdown = Shutdown()
    shutdown.install()
    supervise_others(shutdown)
    if settings.mqtt_version != "5":
        _warn_of_3_1_1(settings)
    intake = replace(settings.store_options(Durability.FULL), only_puts=True)
    others = replace(settings.store_options(Durability.NORMAL), check_integrity=False)
    with ExitStack() as stack:
        stack.enter_context(StopGuard(shutdown, grace=settings.grace_seconds))
        patiently = until_available(shutdown)
        store = stack.enter_context(patiently(open_store, settings.queue_url, intake))
        registry = CollectorRegistry()
        show_process(registry, service="listener")
        metrics = ListenerMetrics(registry)
        heartbeat = Heartbeat()
        listener = patiently(
            make_listener,
            settings,
            store=store,
            metrics=metrics,
            heartbeat=heartbeat,
            shutdown=shutdown,
            leaving=leaving,
            on_stored=_tracing(settings, metrics, stack),
        )
        _log.info("Client id at the broker: %s", listener.client_id)
        registry.register(CertificateCollector(listener.session.certificates))
        if settings.broker_stats:
            stats = BrokerStats(settings, client_id=listener.client_id, shutdown=shutdown)
            registry.register(BrokerCollector(lambda: stats.figures))
            stats.start()
            stack.callback(stats.close)
        registry.register(StoreCollector(stack.enter_context(patiently(open_store, settings.queue_url, others))))
        upkeep = Upkeep(
            stack.enter_context(patiently(open_store, settings.queue_url, others)),
            settings.retention,
            shutdown,
            presence=Presence("listener", heartbeat, listener.state),
            registry=registry,
        )

        def ready() -> Checks:
            return {"store": listener.ingest.store_problem or upkeep.problem, "broker": listener.session.problem}

        def status() -> str:
            wrong = "; ".join(f"{name}: {what}" for name, what in ready().items() if what)
            return wrong or f"subscribed at {settings.broker}"

        metrics.store_writable.set_function(lambda: not ready()["store"])
        server = serve_health(
            settings,
            usual_port=_USUAL_PORT,
            registry=registry,
            heartbeat=heartbeat,
            ready=ready,
            shutdown=shutdown,
        )
        stack.callback(server.close)
        stack.enter_context(upkeep)
        manager, grace = ServiceManager(os.environ), settings.grace_seconds
        reporter = Reporter(manager, heartbeat=heartbeat, shutdown=shutdown, grace=grace, status=status)
        stack.enter_context(reporter).ready()
        _spare_garbage_collection()
        if not leaving:
            listener.ingest.run()
            return EXIT_FAULT if shutdown.failure else 0
        fine = leave(
            settings, listener.client_id, ingest=listener.ingest, store=store, heartbeat=heartbeat, shutdown=shutdown
        )
        return 0 if fine and not shutdown.failure else EXIT_FAULT


def _spare_garbage_collection() -> None:
    """Messages hold no cycles, and are freed without a search for them, which would take a seventh of the time.

    What was loaded until now lasts, so full collections leave it out.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def _tracing(settings: ListenerSettings, metrics: ListenerMetrics, stack: ExitStack) -> OnStored | None:
    """What makes a span for each commit; None without FMQ_TRACING=otel."""
    if settings.tracing != "otel":
        return None
    from fmq.service.tracing import start_tracing  # noqa: PLC0415 - an extra, and slow to load
    from fmq_listener.tracing import ReceiveSpans  # noqa: PLC0415 - an optional dependency

    tracer, end_tracing = start_tracing("listener")
    stack.callback(end_tracing)
    return ReceiveSpans(tracer, metrics.commit_seconds)


def _warn_of_3_1_1(settings: ListenerSettings) -> None:
    """Warn about settings that MQTT 3.1.1 does not support."""
    if shared := [one.text for one in settings.filters if one.text != one.name]:
        _log.warning(
            "With MQTT 3.1.1 the listener can't find out whether the broker has shared subscriptions. Without them it sends nothing for %s",
            ", ".join(map(shorten, shared)),
        )
    for mine, theirs in settings.overlaps:
        _log.warning(
            "%s and %s overlap. With MQTT 3.1.1 a message of both may be stored more than once in each",
            shorten(mine),
            shorten(theirs),
        )


def main() -> NoReturn:
    """The entry point of ``fmq-listen``."""
    run(listen)


if __name__ == "__main__":
    main()
