"""Traces end to end: a publisher's context through broker, listener, store and processor to a collector."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.broker import Broker, publish
from support.processes import Processes
from support.spans import PARENT, TRACE, TRACEPARENT
from support.wait import wait_for


class _Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    daemon_threads = True

    def __init__(self) -> None:
        spans = self.spans = dict[str, Span]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = ExportTraceServiceRequest()
                asked.ParseFromString(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                for of_resource in asked.resource_spans:
                    names = {one.key: one.value.string_value for one in of_resource.resource.attributes}
                    for scope in of_resource.scope_spans:
                        spans.update({f"{names['service.name']} {span.name}": span for span in scope.spans})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002, ANN401 - as the base class

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def collector() -> Iterator[_Collector]:
    with _Collector() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def _context() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("traceparent", TRACEPARENT)
    return properties


def test_a_publisher_s_trace_reaches_the_handler(
    tmp_path: Path, broker: Broker, fmq: Processes, collector: _Collector
) -> None:
    """Both services export a span that leads to the publisher's; the handler gets the context to send on.

    What a service has not sent is sent when it is stopped. OpenTelemetry's own variables say where, and name the service.
    """
    (tmp_path / "user.py").write_text(
        "import json\nfrom pathlib import Path\n\n\ndef handle(message):\n    Path('got').write_text(json.dumps(message.trace))\n"
    )
    settings = {
        "FMQ_TRACING": "otel",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=ours",
    }
    listener = fmq.start("listen", "q/#", FMQ_BROKER_URL=broker.url, **settings)
    listener.wait_to_say("Connected and subscribed")
    del settings["OTEL_RESOURCE_ATTRIBUTES"]
    processor = fmq.start("process", "q/#", FMQ_HANDLER="user:handle", FMQ_SLEEP=0.1, **settings)
    publish(broker.port, [("q/a", b"x")], properties=_context())
    wait_for(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_text(), what="the handler's call")
    assert listener.terminate() == processor.terminate() == 0
    assert collector.spans.keys() == {"ours receive q/#", "fmq-processor process q/#"}
    for span in collector.spans.values():
        (link,) = span.links
        assert (link.trace_id, link.span_id) == (TRACE.to_bytes(16), PARENT.to_bytes(8))
    called = collector.spans["fmq-processor process q/#"]
    assert (called.trace_id, called.parent_span_id) == (TRACE.to_bytes(16), PARENT.to_bytes(8))
    assert json.loads((tmp_path / "got").read_text()) == {"traceparent": TRACEPARENT}


def test_a_collector_that_is_not_there_holds_nobody_up(tmp_path: Path, broker: Broker, fmq: Processes) -> None:
    """Messages are stored and handled; the end waits for the exporter's timeout, not longer."""
    (tmp_path / "user.py").write_text("def handle(message):\n    return True\n")
    settings = {
        "FMQ_TRACING": "otel",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": 1,
    }
    listener = fmq.start("listen", "q", FMQ_BROKER_URL=broker.url, **settings)
    listener.wait_to_say("Connected and subscribed")
    processor = fmq.start("process", "q", FMQ_HANDLER="user:handle", FMQ_SLEEP=0.1, **settings)
    publish(broker.port, [("q", b"x")], properties=_context())
    wait_for(
        lambda: 'fmq_messages{queue="q",state="done"} 1.0' in listener.get("metrics"), what="the message to be done"
    )
    assert listener.terminate(15) == processor.terminate(15) == 0


def test_nothing_of_opentelemetry_is_loaded_without_it() -> None:
    """Off is the default, and costs nothing: the modules are not even imported."""
    code = (
        "import sys, fmq_listener.__main__, fmq_processor.__main__, fmq_processor.assembly\n"
        "print([name for name in sys.modules if 'opentelemetry' in name])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"
