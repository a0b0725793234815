"""Spans kept in memory, and messages of a publisher that is traced."""

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from fmq.message import Properties
from fmq.service.tracing import make_provider, tracer_of

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
PARENT = 0x00F067AA0BA902B7
TRACEPARENT = f"00-{TRACE:032x}-{PARENT:016x}-01"
GIVEN = Properties(user_properties=(("traceparent", TRACEPARENT), ("tracestate", "vendor=1")))
"""Of a message whose publisher has a sampled span."""


class Spans:
    """A tracer, and what it has made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = make_provider("test", self._exporter)
        self.tracer: Tracer = tracer_of(self._provider)

    def ended(self) -> list[ReadableSpan]:
        self._provider.force_flush()
        return list(self._exporter.get_finished_spans())

    def close(self) -> None:
        self._provider.shutdown()
