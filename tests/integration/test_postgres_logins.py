"""Services and commands that the server does not let in, or that come before it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support.broker import Broker, free_port, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.wait import wait_for

pytestmark = pytest.mark.postgres
_COMMANDS = (("listen", "a/#"), ("process", "a/#"), ("status",))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.mark.parametrize("command", _COMMANDS, ids=lambda one: one[0])
@pytest.mark.parametrize(
    ("user", "database", "why"),
    [
        ("locked:wrong", "test", "refuses the user or the password"),
        ("locked", "test", "refuses the user or the password"),
        ("nobody", "test", "has no such user"),
        ("fmq", "missing", "has no such database"),
    ],
)
def test_a_login_that_is_refused(
    broker: Broker, fmq: Processes, server: Postgres, command: tuple[str, ...], user: str, database: str, why: str
) -> None:
    """A service ends at once with exit code 2, and says what is wrong; also if another host of the URL does not answer."""
    server.demand_password("locked", "right")
    url = f"postgresql://{user}@127.0.0.1:{free_port()},127.0.0.1:{server.port}/{database}"
    process = fmq.start(*command, FMQ_QUEUE_URL=url, FMQ_BROKER_URL=broker.url, FMQ_HANDLER="log")
    assert process.wait(30) == 2
    assert why in process.text
    assert "Traceback" not in process.text
    assert "wrong@" not in process.text


def test_a_server_that_starts_later(broker: Broker, fmq: Processes, server: Postgres) -> None:
    """Services wait for it, and then begin."""
    server.stop()
    try:
        services = [
            fmq.start(*command, FMQ_QUEUE_URL=server.url, FMQ_BROKER_URL=broker.url, FMQ_HANDLER="log")
            for command in _COMMANDS[:2]
        ]
        for one in services:
            one.wait_to_say("The store is unavailable; trying again", 30)
    finally:
        server.start()
    for one in services:
        wait_for(partial(_is_ready, one), 60, what="a service that is ready")
        assert one.terminate() == 0


def test_a_password_that_is_rotated(broker: Broker, fmq: Processes, server: Postgres, tmp_path: Path) -> None:
    """A service that runs is not ready while its file has the old password. With the new one it goes on, without a restart."""
    file = tmp_path / "passwords"
    file.touch(mode=0o600)

    def rotate(password: str) -> None:
        server.demand_password("rotated", password)

    def write(password: str) -> None:
        file.write_text(f"*:*:*:rotated:{password}\n")

    rotate("first")
    write("first")
    url = f"postgresql://rotated@127.0.0.1:{server.port}/test?passfile={file}"
    services = [
        fmq.start(*command, FMQ_QUEUE_URL=url, FMQ_BROKER_URL=broker.url, FMQ_HANDLER="log")
        for command in _COMMANDS[:2]
    ]
    for one in services:
        wait_for(partial(_is_ready, one), 60, what="a service that is ready")
    rotate("second")
    for one in services:
        why = "refuses the user or the password"
        wait_for(partial(_says, one, why), 30, what="a service that says what is wrong")
    write("second")
    for one in services:
        wait_for(partial(_is_ready, one), 30, what="a service that is ready again")
    publish(broker.port, [("a/1", b"x")])
    services[1].wait_to_say("Message", 30)
    for one in services:
        assert one.terminate() == 0


def _is_ready(service: FmqProcess) -> bool:
    """Whether it serves /readyz, and says that nothing is wrong."""
    if not any("port" in line or "http_port" in line for line in service.log):
        assert service.running, service.text
        return False
    found: dict[str, object] = json.loads(service.get("readyz"))
    return found["status"] == "ok"


def _says(service: FmqProcess, why: str) -> bool:
    return why in service.get("readyz")
