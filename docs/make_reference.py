"""Makes the reference pages from the code: docs/settings.md and docs/metrics.md. With --check, tells if they are old."""

import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from pydantic.fields import FieldInfo

from fmq.message import QueueStats, StoreStats
from fmq.service.config.places import home
from fmq.service.metrics import ListenerMetrics, ProcessorMetrics, UpkeepMetrics, show_alive
from fmq.service.reporting.certificates import CertificateCollector
from fmq.service.reporting.collectors import BrokerCollector, show_process
from fmq.service.reporting.store_collector import StoreCollector
from fmq.service.settings import (
    HandlerSettings,
    ServiceSettings,
    Settings,
    SettingsModel,
    expected_value,
    is_secret,
    show_number,
    variable,
)
from fmq.store.records import ServerState
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers import SETTINGS
from fmq_processor.handlers.exec.metrics import ExecMetrics
from fmq_processor.handlers.file.metrics import FileMetrics
from fmq_processor.handlers.mqtt.metrics import MqttMetrics
from fmq_processor.handlers.queue.metrics import QueueMetrics
from fmq_processor.handlers.sql.metrics import SqlMetrics
from fmq_processor.handlers.webhook.metrics import WebhookMetrics
from fmq_processor.settings import ProcessorSettings
from fmq_web.http.metrics import WebMetrics
from fmq_web.settings import WebSettings

HERE = Path(__file__).parent
HANDLER_METRICS: dict[str, Callable[[CollectorRegistry], object]] = {
    "exec": ExecMetrics,
    "file": FileMetrics,
    "mqtt": MqttMetrics,
    "queue": QueueMetrics,
    "sql": SqlMetrics,
    "webhook": WebhookMetrics,
}
"""What makes the metrics of each built-in handler that has any: known label sets start at 0, so each shows its labels."""
_BROKER = dict.fromkeys(("dropped_messages", "stored_messages", "stored_bytes"), 0.0)
_OF_ROUTES = {
    "fmq_web_requests": ("method", "route", "status"),
    "fmq_web_request_seconds": ("route",),
    "fmq_certificate_expiry_timestamp_seconds": ("certificate",),
}
"""What has no samples before the first request or certificate."""
_PER_QUEUE = {"fmq_last_done_timestamp_seconds", "fmq_last_stored_timestamp_seconds", "fmq_subscribed", "fmq_discarded"}
"""What has no samples, from which to know its labels, before the first message."""
_SERIES = """\
## Many queues

A queue has at most 20 series in one listener and one processor together, whatever happens in it:

| who shows it | metric | series of a queue |
| --- | --- | ---: |
| listener | `fmq_stored_total`, `fmq_subscribed`, `fmq_last_stored_timestamp_seconds` | 3 |
| processor | `fmq_processed_total` (6 outcomes), `fmq_last_done_timestamp_seconds` | 7 |
| one of both | `fmq_messages` (4 states), `fmq_oldest_pending_timestamp_seconds`, `fmq_oldest_due_timestamp_seconds`, `fmq_queue_paused` | 7 |
| one of both, on PostgreSQL | `fmq_store_dead_rows` | 1 |
| who deletes dead letters, if they are not kept forever | `fmq_discarded_total` | 1 |

[Performance](performance.md#scrapes-with-many-queues) has the sizes and times of scrapes. Histograms and causes are by route. `FMQ_METRICS_QUEUE_HISTOGRAMS=true` gives the histograms the label `queue` too: about 50 series more
for each queue, for those who have few. Sums over the route stay right in dashboards.

The store's figures of each queue come from the listeners of a store. A processor shows them while no listener has reported to the store
for half a minute (`FMQ_METRICS_STORE`). Where several services show them they are the same: take `max by (queue)`, never `sum`.
`fmq_store_info` has the identity of the store, the same in each of its services.

| what you want to know of a queue | expression |
| --- | --- |
| in, messages per second | `sum by (queue) (rate(fmq_stored_total[5m]))` |
| out, messages per second | `sum by (queue) (rate(fmq_processed_total{outcome=~"done\\|skipped\\|expired\\|dead"}[5m]))` |
| failed attempts per second | `sum by (queue) (rate(fmq_processed_total{outcome=~"retry\\|deferred\\|dead"}[5m]))` |
| growth, messages per second, also while no processor runs | `sum by (queue) (max by (queue, state) (deriv(fmq_messages{state=~"pending\\|claimed"}[5m])))` |
| how long a message has been due | `time() - min by (queue) (fmq_oldest_due_timestamp_seconds)` |
| messages in hand | `max by (queue) (fmq_messages{state="claimed"})` |

The messages of a paused queue are due: leave them out by `unless on (queue) fmq_queue_paused == 1`. A message that waits for its retry
or for the end of its delay is not due; one that is set aside for a route without room is, since its receipt.

Messages that fmq lets go without a handler that handled them:

| what happened | where it counts |
| --- | --- |
| expired, or left out by the filter | `fmq_processed_total`, outcomes `expired` and `skipped` |
| dead letters past FMQ_DEAD_RETENTION_SECONDS | `fmq_discarded_total` |
| no topic filter matches, or the message can't be parsed | `fmq_quarantined_total`; it is kept as a dead letter in $quarantine |
| larger than FMQ_MAX_PACKET_BYTES | `fmq_oversized_packets_total`; the broker keeps it, but one of QoS 0 is lost |
| purged or deleted by an operator | not counted; the activity of the web page names who did it |
"""
_MADE = "<!-- Made from the code by docs/make_reference.py: change it there. -->\n"


class _Sample:
    """A store with one queue, for the names of what a scrape shows."""

    def __init__(self, server: ServerState | None = None) -> None:
        self._server = server

    def all_stats(self) -> list[QueueStats]:
        return [QueueStats("q", 0, 0, 0, 0, 0, 0.0, oldest_due_at=0.0)]

    def store_stats(self) -> StoreStats:
        return StoreStats(0, 0, 0)

    def server_state(self) -> ServerState | None:
        return self._server

    def identity(self) -> UUID:
        return UUID(int=0)


_SERVER = ServerState(
    is_primary=True,
    timeline=1,
    standbys_wanted=1,
    standbys_streaming=1,
    lag_bytes=0,
    lag_seconds=0.0,
    oldest_transaction=0.0,
    oldest_snapshot=0.0,
    dead_rows={"q": 0},
    reconnects=0,
    retries=0,
)


def settings_page() -> str:
    """Every setting, by who reads it."""
    parts = [
        _MADE,
        "# Settings\n",
        (
            "Each setting is an environment variable, a flag of the same name (`FMQ_LEASE_SECONDS` is `--lease-seconds`), and a key of "
            "[the configuration file](configuration.md). A flag wins over a variable, a variable over the file. "
            "Times are numbers with `ms`, `s`, `m`, `h`, `d` or `w`, sizes with `B`, `kB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB` or "
            "`TiB`; a plain number is seconds or bytes. Secrets have no flag, but can be read from a file: `FMQ_BROKER_PASSWORD_FILE`. "
            "Such a file, and those with certificates, may be replaced at any time: they are read again before each connection, "
            "and by the webhook handler for each request. "
            "Invalid settings are reported together, and the service exits with code 2.\n"
        ),
    ]
    every, both = set(ServiceSettings.model_fields), set(Settings.model_fields)
    models: list[tuple[str, type[SettingsModel], set[str]]] = [
        ("Every service", ServiceSettings, set()),
        ("Listener and processor", Settings, every),
        ("Listener", ListenerSettings, both),
        ("Processor", ProcessorSettings, both),
        ("Web page", WebSettings, every),
        *((f"Handler `{name}`", model, set[str]()) for name, model in SETTINGS.items()),
    ]
    for title, model, above in models:
        parts.append(
            f"## {title}\n\n| variable | in the file | default | what for | a good value |\n| --- | --- | --- | --- | --- |"
        )
        parts += [
            f"| `{variable(name)}` | {_key(model, name)} | {_default(field)} | {_cell(field.description or '')} | {_cell(expected_value(field))} |"
            for name, field in model.model_fields.items()
            if name not in above
        ]
        parts.append("")
    return "\n".join(parts)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "(needed)"
    if is_secret(field) or field.default in (None, (), ""):
        return ""
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else show_number(field, str(value))}`"


def _key(model: type[SettingsModel], name: str) -> str:
    place = home(model, name)
    if place is None:
        return "`[listener] topics`, `[processor] queues`" if name == "topics" else ""
    if issubclass(model, HandlerSettings):
        return f"`{'.'.join(map(str, place))}`"
    return f"`[{place[0]}] {place[1]}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def metrics_page() -> str:
    """Every metric, by who shows it."""
    parts = [
        _MADE,
        "# Metrics\n",
        (
            "On `/metrics` of each service. Seconds and bytes; the label `queue` is a topic filter, never a concrete topic, and `route` the "
            "name of a route, or `main`. "
            "Counters of known queues and routes begin at 0. The store's gauges are read at the scrape, at the same cost whatever the depth.\n"
        ),
        _SERIES,
    ]
    for title, families in (
        ("Listener", _families(ListenerMetrics)),
        ("Processor", _families(ProcessorMetrics)),
        ("Web page", _families_of(WebMetrics)),
        *((f"Handler `{name}`", _families_of(metrics)) for name, metrics in HANDLER_METRICS.items()),
        ("Upkeep (listener, and processor with FMQ_UPKEEP)", _families_of(UpkeepMetrics)),
        ("Certificates (listener, and the handlers `mqtt` and `webhook`)", list(CertificateCollector(dict).collect())),
        ("Store (listener and processor)", _of_store(None)),
        ("Store on PostgreSQL (listener and processor)", _of_store(_SERVER)[len(_of_store(None)) :]),
        ("Broker (listener, with FMQ_BROKER_STATS)", list(BrokerCollector(lambda: _BROKER).collect())),
        ("Process (every service)", _process()),
    ):
        parts.append(f"## {title}\n\n| metric | type | labels | what it tells |\n| --- | --- | --- | --- |")
        parts += [
            f"| `{_full_name(one)}` | {one.type} | {_labels(one)} | {_cell(one.documentation)} |" for one in families
        ]
        parts.append("")
    return "\n".join(parts)


def _families(metrics: type[ListenerMetrics] | type[ProcessorMetrics]) -> list[Metric]:
    registry = CollectorRegistry()
    made = metrics(registry)
    made.start_at_zero(["q"])
    if isinstance(made, ProcessorMetrics):
        made.start_route_at_zero("main")
    return list(registry.collect())


def _families_of(metrics: Callable[[CollectorRegistry], object]) -> list[Metric]:
    registry = CollectorRegistry()
    metrics(registry)
    return list(registry.collect())


def _of_store(server: ServerState | None) -> list[Metric]:
    return list(StoreCollector(_Sample(server)).collect())  # type: ignore[arg-type]


def _process() -> list[Metric]:
    registry = CollectorRegistry()
    show_process(registry, service="")
    show_alive(registry, lambda: True)
    return list(registry.collect())


def _full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: Metric) -> str:
    names = {name for sample in family.samples for name in sample.labels if name != "le"}
    if family.name in _PER_QUEUE:
        names.add("queue")
    names.update(_OF_ROUTES.get(family.name, ()))
    return ", ".join(f"`{name}`" for name in sorted(names))


def main() -> int:
    """Write the pages, or tell which are old."""
    old = []
    for name, text in (("settings.md", settings_page()), ("metrics.md", metrics_page())):
        page = HERE / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            old.append(name)
            if "--check" not in sys.argv:
                page.write_text(text, encoding="utf-8")
    if old and "--check" in sys.argv:
        print(f"docs/{', docs/'.join(old)} differ from the code: run make fmt", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
