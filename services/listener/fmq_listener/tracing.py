"""A span for each commit that holds messages with a trace context. Imported with FMQ_TRACING=otel only."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.trace import Link, SpanKind, Tracer
from prometheus_client import Histogram

from fmq.message import Incoming
from fmq.service.tracing import context_of, link_to, show_exemplar


class ReceiveSpans:
    """Told of each commit, makes a span for each queue that got a message with a context, with links to these.

    A root of its own: a commit holds messages of many traces. Of its links OpenTelemetry keeps 128 by default.
    """

    def __init__(self, tracer: Tracer, seconds: Histogram) -> None:
        """``seconds`` names the spans as examples."""
        self._tracer = tracer
        self._seconds = seconds

    def __call__(self, messages: Sequence[Incoming], seconds: float) -> None:
        """``messages`` were stored in a commit that has just ended, and took ``seconds``."""
        links: dict[str, list[Link]] = defaultdict(list)
        for message in messages:
            if message.properties is not None and (context := context_of(message.properties)) is not None:
                links[message.queue].append(link_to(context))
        if not links:
            return
        ended = time.time_ns()
        counts = Counter(message.queue for message in messages)
        for queue, of_queue in links.items():
            span = self._tracer.start_span(
                f"receive {queue}",
                context=Context(),
                kind=SpanKind.CONSUMER,
                links=of_queue,
                start_time=ended - int(seconds * 1e9),
                attributes={
                    messaging.MESSAGING_SYSTEM: "mqtt",
                    messaging.MESSAGING_OPERATION_NAME: "receive",
                    messaging.MESSAGING_OPERATION_TYPE: "receive",
                    messaging.MESSAGING_DESTINATION_TEMPLATE: queue,
                    messaging.MESSAGING_BATCH_MESSAGE_COUNT: counts[queue],
                },
            )
            span.end(ended)
            show_exemplar(self._seconds, seconds, span)
