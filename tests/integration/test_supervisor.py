"""The programs of deploy/supervisor under a real supervisord, with a real broker."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import pytest
from supervisor.xmlrpc import SupervisorTransport

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.wait import wait_for

BIN = Path(sys.executable).parent
SHIPPED = Path(__file__).parents[2] / "deploy/supervisor/fmq.conf"
LISTENER = "fmq-listener"
PROCESSORS = ("fmq-processor:fmq-processor-0", "fmq-processor:fmq-processor-1")


class Supervisor:
    """A supervisord with the shipped programs, at the test's own places and with the test's own broker."""

    def __init__(self, folder: Path, *, changes: dict[str, str]) -> None:
        text = SHIPPED.read_text(encoding="utf-8")
        places = {
            "/opt/fmq/bin": str(BIN),
            "/var/lib/fmq": str(folder),
            "/var/log": str(folder),
            "user=fmq": f"user={getpass.getuser()}",
        }
        for shipped, ours in {**places, **changes}.items():
            assert shipped in text, f"{SHIPPED} has no {shipped!r}"
            text = text.replace(shipped, ours)
        socket = folder / "supervisor.sock"
        own = [
            "[supervisord]",
            "nodaemon=true",
            f"user={getpass.getuser()}",
            f"logfile={folder}/supervisord.log",
            f"pidfile={folder}/supervisord.pid",
            "[unix_http_server]",
            f"file={socket}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        ]
        config = folder / "supervisord.conf"
        config.write_text("\n".join([*own, text]), encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
        self._daemon = subprocess.Popen(
            [BIN / "supervisord", "-c", config], cwd=folder, env=environ, stdout=subprocess.DEVNULL
        )
        self._proxy = ServerProxy("http://127.0.0.1", transport=SupervisorTransport(serverurl=f"unix://{socket}"))
        self.rpc: Any = self._proxy.supervisor
        wait_for(socket.exists, what="supervisord")

    def await_state(self, program: str, state: str) -> dict[str, Any]:
        """Wait until supervisor calls the program's state so; returns all that it knows of it."""

        def known() -> dict[str, Any]:
            info: dict[str, Any] = self.rpc.getProcessInfo(program)
            return info if info["statename"] == state else {}

        return wait_for(known, what=f"{program} to be {state}")

    def await_another(self, program: str, pid: int) -> None:
        """Wait until the program runs in another process than that one."""
        wait_for(lambda: self.rpc.getProcessInfo(program)["pid"] not in (0, pid), what=f"another {program}")

    def shut_down(self) -> int:
        """End it, with its programs, and return its exit code."""
        self._proxy("close")()
        self._daemon.terminate()
        return self._daemon.wait(60)


@pytest.fixture
def changes(broker: Broker) -> dict[str, str]:
    """What the tests change in the shipped file, beside places."""
    return {
        "mqtt://127.0.0.1:1883": broker.url,
        'FMQ_GRACE_SECONDS="30"': 'FMQ_GRACE_SECONDS="30",FMQ_HTTP_PORT="0"',
    }


@pytest.fixture
def supervisor(tmp_path: Path, changes: dict[str, str]) -> Iterator[Supervisor]:
    running = Supervisor(tmp_path, changes=changes)
    yield running
    running.shut_down()


def test_the_guides_way_to_run(tmp_path: Path, broker: Broker, supervisor: Supervisor) -> None:
    """Programs start, messages flow, what is killed is started again and nothing is lost, the stop is clean."""

    def said(name: str, part: str, times: int = 1) -> None:
        log = tmp_path / f"{name}.log"
        wait_for(lambda: log.exists() and log.read_text(encoding="utf-8").count(part) >= times, what=f"{part!r}")

    said("fmq-listener", "Connected and subscribed")
    said("fmq-processor-0", "Starting processor")
    said("fmq-processor-1", "Starting processor")
    publish(broker.port, (("dstdb", b"%d" % n) for n in range(100)))
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as queue:
        wait_for(lambda: queue.stats("dstdb").done == 100, what="100 messages")
        for program in (LISTENER, PROCESSORS[0]):
            pid = supervisor.await_state(program, "RUNNING")["pid"]
            os.kill(pid, 9)
            supervisor.await_another(program, pid)
        said("fmq-listener", "Connected and subscribed", times=2)
        said("fmq-processor-0", "Starting processor", times=2)
        publish(broker.port, (("dstdb", b"%d" % n) for n in range(100, 200)))
        wait_for(lambda: queue.stats("dstdb").done == 200, what="200 messages")
    supervisor.rpc.stopAllProcesses()
    for program in (LISTENER, *PROCESSORS):
        info = supervisor.rpc.getProcessInfo(program)
        assert (info["statename"], info["exitstatus"], info["spawnerr"]) == ("STOPPED", 0, "")
    said("fmq-listener", "Disconnected from MQTT broker")
    assert supervisor.shut_down() == 0


@pytest.mark.parametrize("changes", [{'FMQ_GRACE_SECONDS="30"': 'FMQ_GRACE_SECONDS="soon"'}])
def test_wrong_settings_are_not_tried_again(tmp_path: Path, supervisor: Supervisor) -> None:
    """Exit code 2 is the end, and the log says why."""
    for program in (LISTENER, *PROCESSORS):
        assert supervisor.await_state(program, "EXITED")["exitstatus"] == 2
    assert "FMQ_GRACE_SECONDS='soon'" in (tmp_path / "fmq-listener.log").read_text(encoding="utf-8")
    spawned = (tmp_path / "supervisord.log").read_text(encoding="utf-8").count("spawned: 'fmq-listener'")
    assert spawned == 1
