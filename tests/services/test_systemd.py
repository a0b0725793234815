"""The units in deploy/systemd under a real systemd: installed, started, frozen, misconfigured, stopped."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.systemd import Machine
from support.wait import wait_for

UNITS = Path(__file__).parents[2] / "deploy/systemd"
LISTENER, PROCESSOR, WEB = "fmq-listener.service", "fmq-processor@1.service", "fmq-web.service"
HANDLERS = """
import time

class SlowToStart:
    def setup(self):
        time.sleep(6)  # longer than the test's TimeoutStartSec
    def handle(self, message):
        pass

def slow(message):
    time.sleep(4)  # longer than the test's TimeoutStopSec
"""
_ASK_FOR_THE_OVERVIEW = (
    "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9466/api/v1/overview', timeout=5).read().decode())"
)
ENVIRONMENT = """
FMQ_QUEUE_URL=sqlite:////var/lib/fmq/mqtt_queue.db
FMQ_TOPICS=dstdb
FMQ_BROKER_URL=mqtt://127.0.0.1:1883
FMQ_RECONNECT_MAX_SECONDS=1
FMQ_SLEEP=0.2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("machine") / "log") as machine:
        machine.write("/etc/fmq/handlers/user_code.py", HANDLERS)
        machine.run("chmod", "644", "/etc/fmq/handlers/user_code.py")
        yield machine


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The machine without a running fmq service or traces of an earlier test."""
    installed.write("/etc/fmq/fmq.env", ENVIRONMENT)
    installed.write("/etc/mosquitto/mosquitto.conf", "listener 1883 127.0.0.1\nallow_anonymous true\n")
    yield installed
    installed.systemctl("stop", LISTENER, PROCESSOR, WEB, "mosquitto.service")
    installed.systemctl("reset-failed")
    installed.run("sh", "-c", "rm -rf /run/systemd/system/fmq-*.d /etc/systemd/system/fmq-*.d /var/lib/fmq/*")
    installed.run("rm", "-f", "/etc/fmq/processor-1.env", "/etc/fmq/broker-password")
    installed.systemctl("daemon-reload")


@pytest.mark.parametrize("unit", ["fmq-listener.service", "fmq-processor@.service", "fmq-web.service"])
def test_the_sandbox_is_tight(unit: str) -> None:
    """`systemd-analyze security` rates the exposure 1.1 of 10 at most ("OK" begins at 2)."""
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNITS / unit], capture_output=True, text=True, check=True
    ).stdout
    rating = re.search(r"Overall exposure level for .*: ([0-9.]+)", told)
    assert rating, told
    assert float(rating[1]) <= 1.1, told


def test_the_units_have_no_mistake(machine: Machine) -> None:
    """`systemd-analyze verify` finds nothing, with the programs in their place."""
    assert (
        machine.run("sh", "-c", f"cd /etc/systemd/system && systemd-analyze verify {LISTENER} {PROCESSOR} {WEB} 2>&1")
        == ""
    )


def test_messages_flow_and_a_broker_that_is_away_is_no_failed_start(machine: Machine) -> None:
    """The listener is started without a broker and says so; then everything works within the sandbox."""
    machine.systemctl("start", LISTENER, PROCESSOR)
    machine.await_property(LISTENER, "StatusText", "broker: not connected")
    machine.await_property(PROCESSOR, "StatusText", "handling messages of dstdb by log")
    machine.systemctl("start", "mosquitto.service")
    machine.await_property(LISTENER, "StatusText", "subscribed at mqtt://127.0.0.1:1883")
    machine.run("mosquitto_pub", "-t", "dstdb", "-q", "1", "-l", stdin="1\n2\n3\n")
    wait_for(lambda: machine.queues()["dstdb"]["done"] == 3, what="3 messages to be handled")
    assert machine.run("stat", "-c", "%U %G %a", "/var/lib/fmq/mqtt_queue.db").split() == ["fmq", "fmq", "660"]
    machine.systemctl("stop", LISTENER, PROCESSOR)
    for unit in (LISTENER, PROCESSOR):
        assert machine.show(unit, "Result") == "success"
        assert machine.show(unit, "NRestarts") == "0"


def test_the_web_page_reads_the_store_of_the_services(machine: Machine) -> None:
    """Within its sandbox; its journal shows the password. It runs before there is a store."""
    machine.systemctl("start", WEB)
    machine.systemctl("start", "mosquitto.service", LISTENER)
    wait_for(lambda: "dstdb" in machine.queues(), what="the listener's queue")
    page = ["/opt/fmq/bin/python", "-c", _ASK_FOR_THE_OVERVIEW]
    wait_for(lambda: "dstdb" in machine.run(*page), what="the queue on the page")
    assert "with the password" in machine.journal(WEB)
    machine.systemctl("stop", WEB)
    assert machine.show(WEB, "Result") == "success"


@pytest.mark.parametrize("unit", [LISTENER, PROCESSOR, WEB])
def test_a_frozen_service_is_killed_and_started_again(machine: Machine, unit: str) -> None:
    """By the watchdog, within its time. Not frozen, it lives longer than that."""
    machine.drop_in(unit, "WatchdogSec=2", "TimeoutAbortSec=1", "RestartSec=0")
    machine.systemctl("start", unit)
    first = machine.show(unit, "MainPID")
    machine.await_property(unit, "StatusText", " ")
    began = machine.show(unit, "WatchdogTimestampMonotonic")
    wait_for(
        lambda: int(machine.show(unit, "WatchdogTimestampMonotonic")) > int(began) + 4_000_000,
        what="signs of life for 4 s",
    )
    assert machine.show(unit, "MainPID") == first
    machine.systemctl("kill", "--kill-who=main", "--signal=STOP", unit)
    machine.await_property(unit, "NRestarts", "1")
    machine.await_property(unit, "ActiveState", "active")
    assert machine.show(unit, "MainPID") not in ("0", first)
    assert "Watchdog timeout" in machine.journal(unit)


@pytest.mark.parametrize("unit", [LISTENER, PROCESSOR, WEB])
def test_a_killed_service_is_started_again(machine: Machine, unit: str) -> None:
    """As after a crash, or when memory was short."""
    machine.drop_in(unit, "RestartSec=0")
    machine.systemctl("start", unit)
    machine.systemctl("kill", "--kill-who=main", "--signal=KILL", unit)
    machine.await_property(unit, "NRestarts", "1")
    machine.await_property(unit, "ActiveState", "active")


@pytest.mark.parametrize("unit", [LISTENER, PROCESSOR, WEB])
def test_wrong_settings_are_not_tried_again(machine: Machine, unit: str) -> None:
    """Exit code 2 ends it, and the journal says what is wrong."""
    machine.write("/etc/fmq/fmq.env", ENVIRONMENT + "FMQ_BUSY_SECONDS=soon\n")
    machine.drop_in(unit, "RestartSec=0")
    machine.systemctl("start", unit, check=False)
    machine.await_property(unit, "ActiveState", "failed")
    assert (machine.show(unit, "ExecMainStatus"), machine.show(unit, "NRestarts")) == ("2", "0")
    assert "FMQ_BUSY_SECONDS='soon'" in machine.journal(unit)


@pytest.mark.parametrize("unit", [LISTENER, PROCESSOR])
def test_a_store_that_is_none_is_not_tried_again(machine: Machine, unit: str) -> None:
    """Exit code 3 ends it, and the file is as it was."""
    machine.run("install", "-d", "-o", "fmq", "-g", "fmq", "/var/lib/fmq")
    machine.run("install", "-o", "fmq", "-m", "660", "/etc/os-release", "/var/lib/fmq/mqtt_queue.db")
    machine.drop_in(unit, "RestartSec=0")
    machine.systemctl("start", unit, check=False)
    machine.await_property(unit, "ActiveState", "failed")
    assert (machine.show(unit, "ExecMainStatus"), machine.show(unit, "NRestarts")) == ("3", "0")
    machine.run("cmp", "/etc/os-release", "/var/lib/fmq/mqtt_queue.db")


def test_a_slow_setup_is_waited_for(machine: Machine) -> None:
    """Beyond TimeoutStartSec: the processor asks for more while its loop beats, and is started when it is ready."""
    machine.write("/etc/fmq/processor-1.env", "FMQ_HANDLER=user_code:SlowToStart\n")
    machine.drop_in(PROCESSOR, "TimeoutStartSec=3", "Restart=no")
    machine.systemctl("start", PROCESSOR)
    assert machine.show(PROCESSOR, "StatusText") == "handling messages of dstdb by user_code:SlowToStart"


def test_a_stop_waits_for_what_runs(machine: Machine) -> None:
    """FMQ_GRACE_SECONDS counts, also where TimeoutStopSec is shorter: the message in hand is done, not given back."""
    machine.systemctl("start", "mosquitto.service", LISTENER)
    machine.await_property(LISTENER, "StatusText", "subscribed")
    machine.run("mosquitto_pub", "-t", "dstdb", "-q", "1", "-m", "x")
    machine.write("/etc/fmq/processor-1.env", "FMQ_HANDLER=user_code:slow\n")
    machine.drop_in(PROCESSOR, "TimeoutStopSec=2")
    machine.systemctl("start", PROCESSOR)
    wait_for(lambda: machine.queues()["dstdb"]["claimed"] == 1, what="the message to be claimed")
    machine.systemctl("stop", PROCESSOR)
    assert machine.show(PROCESSOR, "Result") == "success"
    assert machine.queues()["dstdb"]["done"] == 1


def test_a_password_as_a_credential(machine: Machine) -> None:
    """The drop-in hands a file that root alone can read to the listener."""
    machine.write("/etc/mosquitto/mosquitto.conf", "listener 1883 127.0.0.1\npassword_file /etc/mosquitto/users\n")
    machine.run("mosquitto_passwd", "-b", "-c", "/etc/mosquitto/users", "fmq", "correct horse")
    machine.run("chown", "mosquitto", "/etc/mosquitto/users")
    machine.write("/etc/fmq/broker-password", "correct horse\n")
    machine.write("/etc/fmq/fmq.env", ENVIRONMENT + "FMQ_BROKER_USERNAME=fmq\n")
    drop_in = (UNITS / "broker-password.conf").read_text(encoding="utf-8")
    machine.write(f"/etc/systemd/system/{LISTENER}.d/broker-password.conf", drop_in)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "mosquitto.service", LISTENER)
    machine.await_property(LISTENER, "StatusText", "subscribed at")
