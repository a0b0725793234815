"""The HTTP endpoints and the command that asks them."""

import json
import select
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Counter

from fmq import health
from fmq.cli import fmq_command
from fmq.health import HealthServer, Heartbeat
from support.clock import FakeClock
from support.wait import wait_for


class Service:
    """A server whose state the tests set."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.problems: dict[str, str | None] = {"database": None}
        self.notes: dict[str, str] = {}
        registry = CollectorRegistry()
        Counter("fmq_example", "An example.", registry=registry).inc(3)
        self.heartbeat = Heartbeat(limit=30, clock=self.clock)
        self.server = HealthServer(
            host="127.0.0.1",
            port=0,
            usual_port=9464,
            registry=registry,
            heartbeat=self.heartbeat,
            ready=lambda: self.problems,
            notes=lambda: self.notes,
        )

    def get(self, path: str, accept: str = "") -> tuple[int, str, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode(), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers["Content-Type"]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.close()


def test_metrics_in_both_formats(service: Service) -> None:
    """Prometheus' text format, and OpenMetrics for who asks for it; no _created series."""
    status, text, kind = service.get("/metrics?x=1")
    assert (status, "fmq_example_total 3.0" in text, "_created" in text) == (200, True, False)
    assert kind.startswith("text/plain")
    _, text, kind = service.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_alive_while_the_loop_turns(service: Service) -> None:
    """/healthz follows the heartbeat and nothing else."""
    service.problems["broker"] = "away"
    assert service.get("/healthz")[0] == 200
    service.clock.advance(31)
    status, text, _ = service.get("/healthz")
    assert (status, json.loads(text)["status"]) == (503, "failing")
    service.heartbeat.beat()
    assert service.get("/healthz")[0] == 200


def test_ready_names_what_is_wrong(service: Service) -> None:
    """/readyz is 503 with the reason while any check fails."""
    assert service.get("/readyz")[0] == 200
    service.problems["broker"] = "not subscribed"
    status, text, _ = service.get("/readyz")
    assert status == 503
    assert json.loads(text)["checks"] == {"database": "ok", "broker": "not subscribed"}


def test_notes_are_shown_and_change_nothing(service: Service) -> None:
    """What an operator may want to know, and no restart would put right."""
    assert "notes" not in json.loads(service.get("/readyz")[1])
    service.notes["circuit"] = "open: connection refused"
    status, text, _ = service.get("/readyz")
    assert (status, json.loads(text)["status"]) == (200, "ok")
    assert json.loads(text)["notes"] == {"circuit": "open: connection refused"}
    assert "notes" not in json.loads(service.get("/healthz")[1])


def test_anything_else_is_not_found(service: Service) -> None:
    """And says what there is."""
    assert service.get("/")[0] == 404


def test_the_usual_port_gives_way(service: Service) -> None:
    """Several processors on one machine don't stop each other; a port that was asked for must be had."""
    taken = service.server.port
    arguments = {"host": "127.0.0.1", "registry": CollectorRegistry(), "heartbeat": service.heartbeat, "ready": dict}
    second = HealthServer(port=None, usual_port=taken, **arguments)  # type: ignore[arg-type]
    try:
        assert second.port != taken
    finally:
        second.close()
    with pytest.raises(OSError, match="in use"):
        HealthServer(port=taken, usual_port=1, **arguments)  # type: ignore[arg-type]


def test_the_command(service: Service) -> None:
    """`fmq health` exits 0 when the service is well, and 1 with the reason when it is not or does not answer."""
    port = str(service.server.port)
    runner = CliRunner()
    assert runner.invoke(fmq_command, ["health", "--port", port]).exit_code == 0
    service.problems["database"] = "disk full"
    result = runner.invoke(fmq_command, ["health", "--port", port, "--ready"])
    assert (result.exit_code, str(result.exception)) == (1, "not well: database: disk full")
    service.server.close()
    result = runner.invoke(fmq_command, ["health", "--port", port])
    assert result.exit_code == 1
    assert "no answer" in str(result.exception)


def test_slow_clients_are_cut_off_and_many_are_turned_away(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """Neither a request that trickles in nor a crowd of connections costs more than a bound, and neither is in the way for long."""
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 2.0)
    stack = ExitStack()
    request.addfinalizer(stack.close)
    slow = [
        stack.enter_context(socket.create_connection(("127.0.0.1", service.server.port), timeout=10)) for _ in range(60)
    ]
    wait_for(lambda: threading.active_count() > 20, what="the crowd to be let in")
    assert threading.active_count() <= 40
    ended: list[socket.socket] = []

    def trickle() -> bool:
        for one in slow:
            with suppress(OSError):
                one.send(b"G")
            if one not in ended and select.select([one], [], [], 0)[0]:
                ended.append(one)
        return len(ended) == len(slow)

    wait_for(trickle, what="the slow clients to be cut off")
    wait_for(lambda: service.get("/healthz")[0] == 200, what="an answer")
    assert "Traceback" not in capfd.readouterr().err


def test_a_long_request_is_refused(service: Service) -> None:
    """A request line or header beyond http.server's limits gets an error, and the server goes on."""
    for head in (b"GET /" + b"x" * 70_000, b"GET /healthz HTTP/1.0\r\n" + b"x: y\r\n" * 200, b"\0\xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", service.server.port), timeout=10) as client, suppress(OSError):
            client.sendall(head + b"\r\n\r\n")
            assert b"200" not in client.recv(100)
    assert service.get("/healthz")[0] == 200
