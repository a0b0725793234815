"""Spans of handler calls, by OpenTelemetry's own SDK with its exporter to memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from fmq import Message, Reject, Retry, batch_handler
from fmq.handler import Handler
from fmq.message import NO_PROPERTIES, Incoming, Properties
from fmq.service.metrics import ProcessorMetrics
from fmq_processor.tracing import traced
from support.spans import GIVEN, PARENT, TRACE, Spans
from support.workbench import QUEUE, Workbench


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.close()


def _traced(
    handle: Callable[..., Any],
    spans: Spans,
    metrics: ProcessorMetrics | None = None,
    *,
    is_async: bool = False,
    is_batch: bool = False,
) -> Callable[..., Any]:
    metrics = metrics or ProcessorMetrics(CollectorRegistry())
    handler = Handler("test", handle, is_async=is_async, is_batch=is_batch)
    return traced(handler, spans.tracer, partial(metrics.timed, metrics.handle_seconds, "main")).handle


def _message(number: int = 1, *, properties: Properties = NO_PROPERTIES) -> Message:
    return Message(number, "sensors/#", "sensors/a", b"abc", 0.0, retry_count=2, properties=properties)


def _one(spans: Spans) -> ReadableSpan:
    (span,) = spans.ended()
    return span


def test_the_publisher_s_trace_goes_on(spans: Spans) -> None:
    """Its span is the parent of the call's and linked from it; what the handler makes is below the call's."""
    seen: list[int] = []

    def handle(_: Message) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    _traced(handle, spans)(_message(properties=GIVEN))
    span = _one(spans)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (TRACE, PARENT)
    assert span.context.trace_state.to_header() == "vendor=1"
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(TRACE, PARENT)]
    assert seen == [span.context.span_id]
    assert not trace.get_current_span().get_span_context().is_valid


def test_it_says_what_the_conventions_ask_for(spans: Spans) -> None:
    """Name, kind and attributes of OpenTelemetry's messaging spans; the queue, not the topic, is in the name."""
    _traced(lambda _: None, spans)(_message())
    span = _one(spans)
    assert (span.name, span.kind) == ("process sensors/#", SpanKind.CONSUMER)
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "sensors/#",
        "messaging.destination.name": "sensors/a",
        "messaging.message.id": "1",
        "messaging.message.body.size": 3,
        "fmq.retry_count": 2,
    }
    assert span.resource.attributes["service.name"] == "fmq-test"


def test_a_message_without_a_context_begins_a_trace(spans: Spans) -> None:
    """Whatever is current where the handler is called."""
    handle = _traced(lambda _: None, spans)
    with spans.tracer.start_as_current_span("around"):
        handle(_message())
    span = spans.ended()[0]
    assert span.parent is None
    assert not span.links


def test_what_is_not_sampled_is_not_exported(spans: Spans) -> None:
    """The publisher's decision holds."""
    parts = GIVEN.trace["traceparent"][:-2] + "00"
    _traced(lambda _: None, spans)(_message(properties=Properties(user_properties=(("traceparent", parts),))))
    assert spans.ended() == []


@pytest.mark.parametrize(
    ("error", "name"),
    [(ValueError("x"), "ValueError"), (Reject("x"), "Reject"), (Retry(), "Retry"), (SystemExit(3), "SystemExit")],
)
def test_an_exception_is_an_error_and_goes_on(spans: Spans, error: BaseException, name: str) -> None:
    """The worker has to see it as without a span."""

    def handle(_: Message) -> None:
        raise error

    with pytest.raises(type(error)):
        _traced(handle, spans)(_message())
    span = _one(spans)
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == name


def test_false_is_an_error_too(spans: Spans) -> None:
    """And comes back as it is."""
    assert _traced(lambda _: False, spans)(_message()) is False
    assert (_one(spans).attributes or {})["error.type"] == "returned_false"


def test_a_batch_links_to_each_of_its_messages(spans: Spans) -> None:
    """One span, a trace of its own, as the messages are of many."""
    messages = [_message(1), _message(2, properties=GIVEN), _message(3, properties=GIVEN)]
    _traced(lambda _: None, spans, is_batch=True)(messages)
    span = _one(spans)
    assert span.parent is None
    assert [link.context.trace_id for link in span.links] == [TRACE, TRACE]
    assert (span.attributes or {})["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in (span.attributes or {})


def test_in_a_real_worker(tmp_path: Path, spans: Spans) -> None:
    """Plain, async and batch handlers: one span a call, ended in whatever thread it ran."""
    threads: list[int] = []

    def plain(_: Message) -> None:
        threads.append(threading.get_ident())

    async def concurrent(_: Message) -> None:
        threads.append(threading.get_ident())

    @batch_handler
    def batch(_: Sequence[Message]) -> None:
        threads.append(threading.get_ident())

    handlers: list[Callable[..., Any]] = [plain, concurrent, batch]
    for number, handle in enumerate(handlers):
        folder = tmp_path / str(number)
        folder.mkdir()
        wrapped = _traced(handle, spans, is_async=handle is concurrent, is_batch=handle is batch)
        with Workbench(folder, wrapped) as bench:
            bench.other.declare(QUEUE)
            bench.other.put([Incoming(QUEUE, "t", b"", 0.0, 1, False, GIVEN)])
            bench.turn_until(lambda bench=bench: bench.stats().done == 1)  # type: ignore[misc]
    assert len(threads) == 3
    assert [span.name for span in spans.ended()] == [f"process {QUEUE}"] * 3
    assert all([link.context.span_id for link in span.links] == [PARENT] for span in spans.ended())


def test_the_histogram_names_a_span_for_its_time(spans: Spans) -> None:
    """OpenMetrics has it as an exemplar; the older format leaves it out; nothing is counted twice."""
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
    _traced(lambda _: None, spans, metrics)(_message(properties=GIVEN))
    page = generate_latest(registry).decode()  # type: ignore[no-untyped-call]
    found = [
        sample.exemplar
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
        if family.name == "fmq_handle_seconds"
        for sample in family.samples
        if sample.exemplar
    ]
    span = _one(spans)
    assert span.context is not None
    assert [one.labels for one in found] == [{"trace_id": f"{TRACE:032x}", "span_id": f"{span.context.span_id:016x}"}]
    assert registry.get_sample_value("fmq_handle_seconds_count", {"route": "main"}) == 0
