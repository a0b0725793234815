"""The HTTP endpoints and the command that asks them."""

import gzip
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

from fmq.cli.main import fmq_command
from fmq.service.http import server as http_server
from fmq.service.http.health import HealthServer, Heartbeat
from fmq.service.lifecycle import Shutdown
from support.clock import FakeClock
from support.wait import wait_for


class Service:
    """A server whose state the tests set."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.clock = FakeClock()
        self.problems: dict[str, str | None] = {"database": None}
        self.notes: dict[str, str] = {}
        registry = CollectorRegistry()
        Counter("fmq_example", "An example.", registry=registry).inc(3)
        self.example = Counter("fmq_labelled", "With a label.", ["name"], registry=registry)
        self.heartbeat = Heartbeat(limit=30, clock=self.clock)
        self.shutdown = Shutdown()
        self.server = HealthServer(
            host=host,
            port=0,
            usual_port=9464,
            registry=registry,
            heartbeat=self.heartbeat,
            ready=lambda: self.problems,
            notes=lambda: self.notes,
            shutdown=self.shutdown,
        )

    def close(self) -> None:
        self.server.close()
        self.shutdown.close()

    def raw(self, request: bytes, host: str = "127.0.0.1") -> bytes:
        """All that is answered to ``request``."""
        with socket.create_connection((host, self.server.port), timeout=10) as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65_536), b""))

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
    made.close()


def test_metrics_are_packed_for_who_asks(service: Service) -> None:
    """With gzip, if the page is long and the client wants it; the content is the same. HEAD has the headers of GET."""
    for number in range(100):
        service.example.labels(str(number)).inc()
    plain = service.raw(b"GET /metrics HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2]
    asked = b" /metrics HTTP/1.0\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n"
    head, _, body = service.raw(b"GET" + asked).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip\r\n" in head
    assert b"Vary: Accept-Encoding\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert len(body) < len(plain) / 5
    assert gzip.decompress(body) == plain
    assert service.raw(b"HEAD" + asked).startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Encoding: gzip" in service.raw(b"HEAD" + asked)
    assert b"Content-Encoding" not in service.raw(asked.replace(b" /metrics", b"GET /healthz"))


@pytest.mark.parametrize("header", ["gzip", "br,GZIP", "deflate, gzip ;q=1.0, *;q=0.5", "gzip;q=0.001"])
def test_who_asks_for_gzip(header: str) -> None:
    """As RFC 9110 reads the header."""
    assert http_server.accepts_gzip(header)


@pytest.mark.parametrize("header", ["", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip", "br"])
def test_who_does_not_ask_for_gzip(header: str) -> None:
    """q=0 refuses it."""
    assert not http_server.accepts_gzip(header)


def test_metrics_in_both_formats(service: Service) -> None:
    """Prometheus' text format, and OpenMetrics for who asks for it; no _created series."""
    status, text, kind = service.get("/metrics?x=1")
    assert (status, "fmq_example_total 3.0" in text, "_created" in text) == (200, True, False)
    assert kind.startswith("text/plain")
    _, text, kind = service.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_alive_while_the_loop_turns(service: Service) -> None:
    """/healthz and fmq_alive follow the heartbeat and nothing else."""
    service.problems["broker"] = "away"
    assert service.get("/healthz")[0] == 200
    assert "fmq_alive 1.0" in service.get("/metrics")[1]
    service.clock.advance(31)
    status, text, _ = service.get("/healthz")
    assert (status, json.loads(text)["status"]) == (503, "failing")
    assert "fmq_alive 0.0" in service.get("/metrics")[1]
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
    arguments = {
        "host": "127.0.0.1",
        "registry": CollectorRegistry(),
        "heartbeat": service.heartbeat,
        "ready": dict,
        "shutdown": service.shutdown,
    }
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
    result = runner.invoke(fmq_command, ["health", "--port", port, "--json"])
    shown = {"command": "health", "status": "ok", "checks": {"loop": "ok", "threads": "ok"}, "notes": {}}
    assert json.loads(result.stdout) == shown
    service.problems["database"] = "disk full"
    result = runner.invoke(fmq_command, ["health", "--port", port, "--ready", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["checks"]["database"] == "disk full"
    result = runner.invoke(fmq_command, ["health", "--port", port, "--ready"])
    assert (result.exit_code, str(result.exception)) == (1, "unhealthy: database: disk full")
    service.server.close()
    result = runner.invoke(fmq_command, ["health", "--port", port])
    assert result.exit_code == 1
    assert "no answer" in str(result.exception)


def test_slow_clients_are_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A request that trickles in ends after its time, and costs no traceback."""
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", service.server.port), timeout=10) as slow:

        def ended() -> bool:
            with suppress(OSError):
                slow.send(b"G")
            return bool(select.select([slow], [], [], 0)[0])

        wait_for(ended, what="the slow client to be cut off")
    assert "Traceback" not in capfd.readouterr().err


def test_a_crowd_of_idle_connections_keeps_no_probe_out(service: Service, request: pytest.FixtureRequest) -> None:
    """However many connections say nothing, or half a request, each probe is answered, and threads stay bounded."""
    stack = ExitStack()
    request.addfinalizer(stack.close)
    for number in range(200):
        idle = stack.enter_context(socket.create_connection(("127.0.0.1", service.server.port), timeout=10))
        if number % 2:
            idle.sendall(b"GET /metrics HTTP/1.1\r\nConnection: keep-alive\r\n")
        if number % 20 == 0:
            assert service.get("/healthz")[0] == 200
    assert service.get("/healthz")[0] == 200
    assert len([one for one in threading.enumerate() if "process_request" in one.name]) <= 40


def test_liveness_is_answered_while_readiness_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Checks that hang, as on a disk that does not answer, keep neither /healthz nor the number of threads."""
    monkeypatch.setattr(http_server, "_WAIT_FOR_TURN_SECONDS", 0.1)
    gate = threading.Event()
    request.addfinalizer(gate.set)
    hanging = threading.Semaphore(0)

    def hang() -> dict[str, str | None]:
        hanging.release()
        gate.wait()
        return {}

    monkeypatch.setattr(service.server, "_ready", hang)
    stack = ExitStack()
    request.addfinalizer(stack.close)
    for _ in range(http_server.MOST_AT_WORK):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", service.server.port), timeout=10))
        client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert hanging.acquire(timeout=10)
    assert service.get("/readyz")[:2] == (503, "too many requests at once\n")
    assert service.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("host", "asked"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1"), ("localhost", "localhost")]
)
def test_ipv6(host: str, asked: str) -> None:
    """An address of IPv6 is served; ``::`` takes both families; the URL shows it in brackets."""
    service = Service(host)
    try:
        assert service.raw(b"GET /healthz HTTP/1.0\r\n\r\n", asked).startswith(b"HTTP/1.0 200")
        assert service.server.url == f"http://{f'[{host}]' if ':' in host else host}:{service.server.port}"
        result = CliRunner().invoke(fmq_command, ["health", "--host", host, "--port", str(service.server.port)])
        assert result.exit_code == 0, result.output
    finally:
        service.close()


def test_methods(service: Service) -> None:
    """HEAD answers as GET without a body; what else HTTP knows is 405 with Allow, what it does not know 501 (RFC 9110)."""
    head, _, body = service.raw(b"HEAD /healthz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    length = len(service.get("/healthz")[1])
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.0 200 OK", b"")
    assert f"Content-Length: {length}".encode() in head
    assert b" 404 " in service.raw(b"HEAD /nothing HTTP/1.0\r\n\r\n")
    for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"):
        answer = service.raw(method + b" /metrics HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 405"), method
        assert b"Allow: GET, HEAD" in answer
    assert service.raw(b"BREW /pot HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 501")


def test_odd_accept_headers_get_metrics(service: Service) -> None:
    """A header that can't be understood gets the plain format."""
    for accept in (b"application/openmetrics-text;version=x.y;escaping=allow-utf-8", b"\xff;,;;=", b"text/plain;q=nan"):
        answer = service.raw(b"GET /metrics HTTP/1.0\r\nAccept: " + accept + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 200"), accept


def test_a_thread_that_died_shows(service: Service) -> None:
    """/healthz fails for a service that has lost one of its threads."""
    service.shutdown.fail("the thread upkeep died: TypeError")
    status, text, _ = service.get("/healthz")
    assert (status, json.loads(text)["checks"]["threads"]) == (503, "the thread upkeep died: TypeError")


def test_the_command_asks_no_proxy(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker sets proxy variables in every container: none of them has an effect."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("FMQ_HTTP_HOST", "0.0.0.0")  # noqa: S104
    result = CliRunner().invoke(fmq_command, ["health", "--port", str(service.server.port)])
    assert (result.exit_code, json.loads(result.output)["status"]) == (0, "ok")


def test_the_command_explains_a_stranger() -> None:
    """Something else on the port is named as that, without a traceback."""
    for body in (b"<html>", b"[]", b'{"checks": 1}', b"\xff"):
        with socket.create_server(("127.0.0.1", 0)) as stranger:

            def answer(listening: socket.socket = stranger, body: bytes = body) -> None:
                client, _ = listening.accept()
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.0 503 No\r\n\r\n" + body)

            thread = threading.Thread(target=answer)
            thread.start()
            result = CliRunner().invoke(fmq_command, ["health", "--port", str(stranger.getsockname()[1])])
            thread.join()
        assert "is not an fmq service" in str(result.exception)


def test_a_long_request_is_refused(service: Service) -> None:
    """A request line or header beyond http.server's limits gets an error, and the server goes on."""
    for head in (b"GET /" + b"x" * 70_000, b"GET /healthz HTTP/1.0\r\n" + b"x: y\r\n" * 200, b"\0\xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", service.server.port), timeout=10) as client, suppress(OSError):
            client.sendall(head + b"\r\n\r\n")
            assert b"200" not in client.recv(100)
    assert service.get("/healthz")[0] == 200
