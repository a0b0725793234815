"""The HTTP server of a service: /metrics, /healthz and /readyz."""

import errno
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError, SettingsError
from fmq.service.http.server import BoundedServer, Page
from fmq.service.lifecycle import Shutdown
from fmq.service.metrics import show_alive
from fmq.service.settings import ServiceSettings
from fmq.service.threads import SupervisedThread

_log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]

Checks = Mapping[str, str | None]
"""Checks by name, each with its problem (None: healthy)."""


class Heartbeat:
    """A service's loop calls ``beat`` in every turn. Alive while the last beat is at most ``limit`` seconds old."""

    def __init__(self, *, limit: float = 60.0, clock: Clock = SYSTEM_CLOCK) -> None:
        self._limit = limit
        self._clock = clock
        self._last = clock.steady()
        self._is_excused = False

    def beat(self) -> None:
        self._last = self._clock.steady()
        self._is_excused = False

    def excuse(self) -> None:
        """Count as alive until the next beat: the loop waits for something that a restart would wait for too."""
        self._is_excused = True

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock.steady() - self._last

    @property
    def alive(self) -> bool:
        return self._is_excused or self.age <= self._limit


class HealthServer:
    """Serves a registry, a heartbeat and readiness checks until it is closed.

    ``/healthz`` says only whether the loop and the service's threads are alive, since a restart does not repair a broker or
    a disk.
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
        """Bind at once. ``/readyz`` shows ``notes``; they do not affect the answer.

        Raises OSError if the given ``port`` is taken. Without one, a free port replaces a taken default port.
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
            _log.warning("Port %d is taken; serving metrics on port %d", usual_port, self.port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        show_alive(registry, lambda: not any(self._alive().values()))
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
                return _report(self._alive(), {})
            case "/readyz":
                return _report(self._ready(), self._notes())
            case _:
                return Page(HTTPStatus.NOT_FOUND, b"available: /metrics, /healthz and /readyz\n")

    def _alive(self) -> Checks:
        turning = None if self._heartbeat.alive else f"no heartbeat for {self._heartbeat.age:.0f} s"
        return {"loop": turning, "threads": self._shutdown.failure}

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


def serve_health(
    settings: ServiceSettings,
    *,
    usual_port: int,
    registry: CollectorRegistry,
    heartbeat: Heartbeat,
    ready: Callable[[], Checks],
    shutdown: Shutdown,
    notes: Callable[[], Mapping[str, str]] = dict,
) -> HealthServer:
    """Start the server as the settings say.

    Raises FmqError (exit code 1) if another process uses the port, since that may pass, and SettingsError (exit code 2) for an
    address that this machine does not have.
    """
    host, port = settings.http_host, settings.http_port
    try:
        server = HealthServer(
            host=host,
            port=port,
            usual_port=usual_port,
            registry=registry,
            heartbeat=heartbeat,
            ready=ready,
            notes=notes,
            shutdown=shutdown,
        )
    except OSError as error:
        text = f"FMQ_HTTP_HOST={host!r}, FMQ_HTTP_PORT={port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            raise FmqError(f"{text}. Does the service run already? FMQ_HTTP_PORT=0 picks a free port") from error
        raise SettingsError(text) from error
    _log.info("Serving metrics and health on %s", server.url, extra={"port": server.port})
    return server
