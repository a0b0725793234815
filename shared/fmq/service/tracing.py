"""OpenTelemetry spans, shared by listener and processor. Imported only with FMQ_TRACING=otel.

Names and attributes follow OpenTelemetry's semantic conventions for messaging spans. OpenTelemetry's own variables
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and so on) configure export, sampling and resource
attributes.
"""

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Histogram

import fmq
from fmq.message import Properties
from fmq.service.metrics import attach_exemplar

_PROPAGATOR = TraceContextTextMapPropagator()


def make_provider(service: str, exporter: SpanExporter | None = None) -> TracerProvider:
    """The tracer provider of ``service`` (listener or processor). It exports spans by OTLP over HTTP.

    Its ``shutdown`` sends what is left.
    """
    resource = Resource.create({SERVICE_NAME: f"fmq-{service}", SERVICE_VERSION: fmq.__version__})
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return provider


def tracer_of(provider: TracerProvider) -> Tracer:
    """The tracer of fmq spans."""
    return provider.get_tracer("fmq", fmq.__version__)


def start_tracing(service: str) -> tuple[Tracer, Callable[[], None]]:
    """Enable spans in this process, also those of a handler. Call the second result at the end."""
    provider = make_provider(service)
    trace.set_tracer_provider(provider)
    return tracer_of(provider), provider.shutdown


def context_of(properties: Properties) -> Context | None:
    """The publisher's trace context; None without one."""
    given = properties.trace
    return _PROPAGATOR.extract(given, Context()) if given else None


def link_to(context: Context) -> Link:
    """A link to the span that is current in ``context``."""
    return Link(trace.get_current_span(context).get_span_context())


def show_exemplar(histogram: Histogram, seconds: float, span: Span) -> None:
    """Add the span to the histogram as an exemplar of its time, if the span is sampled."""
    context = span.get_span_context()
    if context.trace_flags.sampled:
        names = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
        attach_exemplar(histogram, seconds, names)
