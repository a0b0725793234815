"""A span for each handler call, current while the handler runs. Imported with FMQ_TRACING=otel only."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any

from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from prometheus_client import Histogram

from fmq.handler import Handler
from fmq.message import Message
from fmq.outcome import Cause, Dead, RetryLater
from fmq.service.tracing import context_of, link_to, show_exemplar


def traced(handler: Handler, tracer: Tracer, seconds: Callable[[str], Histogram]) -> Handler:
    """``handler`` with a span around each call, which the histogram ``seconds(queue)`` names as an example.

    The span links to the contexts of its messages. That of a single message is its parent, too: then the publisher's trace
    goes on here. A batch begins a trace of its own.
    """
    spans = _Spans(tracer, seconds)
    handle = handler.handle
    if handler.is_async:

        @wraps(handle)
        async def handle_async(given: Any) -> Any:  # noqa: ANN401 - as a handler has it
            __tracebackhide__ = True
            with spans.around(given if handler.is_batch else [given], is_batch=handler.is_batch) as span:
                return _judged(await handle(given), span)

        return replace(handler, handle=handle_async)

    @wraps(handle)
    def handle_plain(given: Any) -> Any:  # noqa: ANN401 - what the user's handler takes and returns
        __tracebackhide__ = True
        with spans.around(given if handler.is_batch else [given], is_batch=handler.is_batch) as span:
            return _judged(handle(given), span)

    return replace(handler, handle=handle_plain)


class _Spans:
    def __init__(self, tracer: Tracer, seconds: Callable[[str], Histogram]) -> None:
        self._tracer = tracer
        self._seconds = seconds

    @contextmanager
    def around(self, messages: Sequence[Message], *, is_batch: bool) -> Iterator[Span]:
        contexts = [context for message in messages if (context := context_of(message.properties)) is not None]
        queue = messages[0].queue
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"process {queue}",
            context=contexts[0] if contexts and not is_batch else Context(),
            kind=SpanKind.CONSUMER,
            links=[link_to(context) for context in contexts],
            attributes=_attributes(messages, is_batch=is_batch),
        ) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, type(error).__qualname__)  # SystemExit and a cancelled call as well
                raise
            finally:
                show_exemplar(self._seconds(queue), time.perf_counter() - began, span)


def _attributes(messages: Sequence[Message], *, is_batch: bool) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        messaging.MESSAGING_SYSTEM: "mqtt",
        messaging.MESSAGING_OPERATION_NAME: "process",
        messaging.MESSAGING_OPERATION_TYPE: "process",
        messaging.MESSAGING_DESTINATION_TEMPLATE: messages[0].queue,
    }
    if is_batch:
        return found | {messaging.MESSAGING_BATCH_MESSAGE_COUNT: len(messages)}
    (message,) = messages
    return found | {
        messaging.MESSAGING_DESTINATION_NAME: message.topic,
        messaging.MESSAGING_MESSAGE_ID: str(message.id),
        messaging.MESSAGING_MESSAGE_BODY_SIZE: len(message.payload),
        "fmq.retry_count": message.retry_count,
    }


def _judged(result: Any, span: Span) -> Any:  # noqa: ANN401 - whatever a handler returns
    match result:
        case False:
            _fail(span, Cause.RETURNED_FALSE)
        case RetryLater() | Dead():
            _fail(span, result.cause)
    return result


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute(ERROR_TYPE, str(error_type))
    span.set_status(StatusCode.ERROR)
