"""HTTP on one port a service: /metrics, /healthz, /readyz."""

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.http_server import BoundedServer, Page
from fmq.lifecycle import Shutdown
from fmq.threads import SupervisedThread

_log = logging.getLogger(__name__)

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

    ``/healthz`` tells only whether the loop and the service's threads are alive: restarting a service does not bring back
    a broker or a disk.
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
        shutdown: Shutdown,
        notes: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Bind at once. ``notes`` are shown by ``/readyz``, and change nothing.

        Raises OSError if a ``port`` that was asked for is taken; the usual one gives way.
        """
        self._registry = registry
        self._heartbeat = heartbeat
        self._ready = ready
        self._shutdown = shutdown
        self._notes = notes
        try:
            self._server = self._bind(host, usual_port if port is None else port)
        except OSError:
            if port is not None:
                raise
            self._server = self._bind(host, 0)
            _log.warning("Port %d is taken: metrics are served on port %d", usual_port, self.port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        self._thread = SupervisedThread(
            lambda: self._server.serve_forever(poll_interval=0.05), name="http", shutdown=shutdown
        )
        self._thread.start()

    def _bind(self, host: str, port: int) -> BoundedServer:
        return BoundedServer(host, port, self._page, light=("/healthz",))

    @property
    def port(self) -> int:
        return self._server.port

    def close(self) -> None:
        if self._thread.is_alive():  # or nobody would answer to this
            self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _page(self, path: str, accept: str) -> Page | None:
        match path:
            case "/metrics":
                return self._metrics(accept)
            case "/healthz":
                turning = None if self._heartbeat.alive else f"no turn for {self._heartbeat.age:.0f} s"
                return _report({"loop": turning, "threads": self._shutdown.failure}, {})
            case "/readyz":
                return _report(self._ready(), self._notes())
            case _:
                return Page(HTTPStatus.NOT_FOUND, b"here are /metrics, /healthz and /readyz\n")

    def _metrics(self, accept: str) -> Page:
        try:
            encoder, content_type = choose_encoder(accept)
        except Exception:  # noqa: BLE001 - prometheus-client raises anything on a header that it can't read
            encoder, content_type = choose_encoder("")
        return Page(HTTPStatus.OK, encoder(self._registry), content_type)


def _report(checks: Checks, notes: Mapping[str, str]) -> Page:
    fine = not any(checks.values())
    body: dict[str, object] = {
        "status": "ok" if fine else "failing",
        "checks": {name: wrong or "ok" for name, wrong in checks.items()},
    }
    if notes:
        body["notes"] = dict(notes)
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, json.dumps(body).encode() + b"\n", "application/json")
