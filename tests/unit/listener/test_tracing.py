"""Spans of commits, by OpenTelemetry's own SDK with its exporter to memory."""

from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from fmq.message import Incoming, Properties
from fmq.service.metrics import ListenerMetrics
from fmq_listener.tracing import ReceiveSpans
from support.spans import GIVEN, PARENT, TRACE, Spans


def _incoming(queue: str, properties: Properties | None = None) -> Incoming:
    return Incoming(queue, "t", b"", 0.0, properties=properties)


def test_a_commit_links_to_what_it_holds() -> None:
    """A span for each queue with traced messages, as long as the commit; the exemplar names one."""
    spans, registry = Spans(), CollectorRegistry()
    told = ReceiveSpans(spans.tracer, ListenerMetrics(registry).commit_seconds)
    told([_incoming("a", GIVEN), _incoming("a"), _incoming("a", GIVEN), _incoming("b"), _incoming("c", GIVEN)], 0.25)
    by_name = {span.name: span for span in spans.ended()}
    spans.close()
    assert by_name.keys() == {"receive a", "receive c"}
    span = by_name["receive a"]
    assert span.kind is SpanKind.CONSUMER
    assert span.parent is None
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(TRACE, PARENT)] * 2
    assert (span.end_time or 0) - (span.start_time or 0) == 250_000_000
    assert dict(span.attributes or {}) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        "messaging.destination.template": "a",
        "messaging.batch.message_count": 3,
    }
    last = by_name["receive c"].context
    assert last is not None
    assert f'trace_id="{last.trace_id:032x}"' in generate_latest(registry).decode()  # type: ignore[no-untyped-call]


def test_a_commit_without_contexts_makes_no_span() -> None:
    """Nor does a context that is none."""
    spans = Spans()
    told = ReceiveSpans(spans.tracer, ListenerMetrics(CollectorRegistry()).commit_seconds)
    told([_incoming("a"), _incoming("a", Properties(user_properties=(("traceparent", "no"),)))], 0.25)
    assert spans.ended() == []
    spans.close()
