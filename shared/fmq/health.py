"""HTTP on one port a service: /metrics, /healthz, /readyz."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from fmq.clock import SYSTEM_CLOCK, Clock

_log = logging.getLogger(__name__)
_REQUEST_SECONDS = 10.0
_MOST_CONNECTIONS = 32

disable_created_metrics()  # type: ignore[no-untyped-call]

Checks = Mapping[str, str | None]
"""What was checked, and what is wrong with it (None: nothing)."""


class Heartbeat:
    """Beaten by a service's loop at every turn; alive while the last beat is at most ``limit`` seconds old."""

    def __init__(self, *, limit: float = 60.0, clock: Clock = SYSTEM_CLOCK) -> None:
        self._limit = limit
        self._clock = clock
        self._last = clock.steady()

    def beat(self) -> None:
        self._last = self._clock.steady()

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock.steady() - self._last

    @property
    def alive(self) -> bool:
        return self.age <= self._limit


class HealthServer:
    """Serves a registry, a heartbeat and readiness checks until it is closed.

    ``/healthz`` tells only whether the loop is alive: restarting a service does not bring back a broker or a disk.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int | None,
        usual_port: int,
        registry: CollectorRegistry,
        heartbeat: Heartbeat,
        ready: Callable[[], Checks],
        notes: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Bind at once. ``notes`` are shown by ``/readyz``, and change nothing.

        Raises OSError if a ``port`` that was asked for is taken; the usual one gives way.
        """
        handler = _handler(registry, heartbeat, ready, notes)
        try:
            self._server = _Server((host, usual_port if port is None else port), handler)
        except OSError:
            if port is not None:
                raise
            self._server = _Server((host, 0), handler)
            _log.warning("Port %d is taken: metrics are served on port %d", usual_port, self.port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Bounded in what a client can cost: a number of connections, and a time for each, however slowly it talks.

    One request a connection (HTTP/1.0), whose line and headers http.server limits.
    """

    daemon_threads = True
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: dict[socket, float] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's types
        if len(self._open) >= _MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        self._open[request] = SYSTEM_CLOCK.steady() + _REQUEST_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called at every turn of the loop: end what takes too long. Its thread sees the end and closes it."""
        now = SYSTEM_CLOCK.steady()
        for request, end in tuple(self._open.items()):
            if now > end:
                with suppress(OSError):
                    request.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        error = sys.exception()
        if isinstance(error, OSError):  # the client has gone
            _log.debug("A request of %s ended early: %s", client_address, error)
        else:
            _log.warning("A request of %s failed", client_address, exc_info=error)


def _handler(
    registry: CollectorRegistry,
    heartbeat: Heartbeat,
    ready: Callable[[], Checks],
    notes: Callable[[], Mapping[str, str]],
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS
        server_version = "fmq"
        sys_version = ""

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(HTTPStatus.OK, encoder(registry), content_type)
                case "/healthz":
                    self._tell({"loop": None if heartbeat.alive else f"no turn for {heartbeat.age:.0f} s"}, {})
                case "/readyz":
                    self._tell(ready(), notes())
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, b"here are /metrics, /healthz and /readyz\n", "text/plain")

        def _tell(self, checks: Checks, notes: Mapping[str, str]) -> None:
            fine = not any(checks.values())
            body: dict[str, object] = {
                "status": "ok" if fine else "failing",
                "checks": {name: wrong or "ok" for name, wrong in checks.items()},
            }
            if notes:
                body["notes"] = dict(notes)
            status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, json.dumps(body).encode() + b"\n", "application/json")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            _log.debug(format, *args)

    return Handler
