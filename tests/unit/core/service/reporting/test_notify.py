"""The service manager's side of sd_notify(3), by a socket of the test's own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.reporting.notify import Reporter, ServiceManager
from support.clock import FakeClock


class Manager:
    """Hears datagrams as systemd does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(10)

    def hear(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@fmq-test-{tmp_path}")
    yield made
    made.close()


class Service:
    """A service whose state the tests set."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.heartbeat = Heartbeat(limit=60, clock=self.clock)
        self.shutdown = Shutdown()

    def reporter(self, *, grace: float = 30, **environ: str) -> Reporter:
        return Reporter(
            ServiceManager(environ),
            heartbeat=self.heartbeat,
            shutdown=self.shutdown,
            grace=grace,
            status=lambda: "two\nlines",
            clock=self.clock,
        )


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.shutdown.close()


def test_the_life_of_a_service(manager: Manager, service: Service) -> None:
    """Starting asks for time, ready says so in one line, the end asks for the grace period; each with a sign of life."""
    with service.reporter(NOTIFY_SOCKET=manager.address) as made:
        assert manager.hear() == ["STATUS=starting", "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"]
        made.ready()
        assert manager.hear() == ["READY=1", "STATUS=two lines", "WATCHDOG=1"]
        service.shutdown.request()
        assert manager.hear() == ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=35000000", "WATCHDOG=1"]


def test_it_says_again_and_again_that_it_lives(manager: Manager, service: Service) -> None:
    """More than once in the watchdog's period, whatever was lost before."""
    with service.reporter(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="200000"):
        assert all("WATCHDOG=1" in manager.hear() for _ in range(5))


def test_a_loop_that_hangs_gives_no_sign_of_life(service: Service) -> None:
    """Whatever the state: the watchdog follows the heartbeat, as /healthz does."""
    made = service.reporter()
    service.clock.advance(61)
    assert made.lines() == ["STATUS=starting"]
    made.ready()
    assert made.lines() == ["READY=1", "STATUS=two lines"]
    service.heartbeat.beat()
    assert "WATCHDOG=1" in made.lines()
    service.clock.advance(61)
    service.shutdown.request()
    assert "WATCHDOG=1" not in made.lines()


def test_the_time_to_stop_is_asked_for_once(service: Service) -> None:
    """Each repetition asks for what is left of it, and never for nothing."""
    made = service.reporter(grace=10)
    service.shutdown.request()
    assert "EXTEND_TIMEOUT_USEC=15000000" in made.lines()
    service.clock.advance(5)
    assert "EXTEND_TIMEOUT_USEC=10000000" in made.lines()
    service.clock.advance(50)
    assert "EXTEND_TIMEOUT_USEC=1" in made.lines()


def test_without_a_manager_nothing_is_sent(service: Service) -> None:
    """No thread, no error, but the shutdown at the end as with one."""
    with service.reporter() as made:
        made.ready()
    assert service.shutdown.requested


def test_a_manager_that_is_gone_is_no_fault(tmp_path: Path, service: Service) -> None:
    """The service works on."""
    with service.reporter(NOTIFY_SOCKET=str(tmp_path / "nobody")) as made:
        made.ready()


def test_the_variables_are_not_left_to_children() -> None:
    """And a watchdog that is meant for another process is none."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "17", "HOME": "/"}
    mine = ServiceManager(dict(environ), pid=17)
    assert (mine.listens, mine.watchdog_seconds) == (True, 3.0)
    assert ServiceManager(environ, pid=18).watchdog_seconds is None
    assert environ == {"HOME": "/"}
