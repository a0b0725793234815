"""The compose file as it stands, with no settings but ports and the names of the images: one stack for all tests here."""

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from support.broker import publish
from support.containers.engine import Engine
from support.containers.stack import QUEUE, Stack, seconds
from support.wait import wait_for

_SERVICES = ("mosquitto", "listener", "processor", "web")


@pytest.fixture(scope="module")
def running(
    engine: Engine,
    images: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    tell: Callable[[str], None],
) -> Iterator[Stack]:
    """`docker compose up --wait`, and nothing else."""
    with Stack(engine, tmp_path_factory.mktemp("stack"), images=images) as stack:
        begun = time.monotonic()
        stack.up()
        tell(f"docker compose up --wait, from nothing to all healthy: {seconds(begun):.1f} s")
        yield stack


def _get(stack: Stack, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.listener_port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_env_example_changes_nothing(engine: Engine) -> None:
    """Compose makes the same of docker-compose.yml with `.env.example` as .env as without any: each value is its default."""
    made = [
        engine.docker("compose", "--env-file", file, "--profile", "*", "config").stdout
        for file in (".env.example", os.devnull)
    ]
    assert made[0] == made[1]


def test_a_message_goes_all_the_way(running: Stack) -> None:
    """Published with Mosquitto's client, a message is stored, handled, logged, and counted by status and metrics."""
    before = running.status()["done"]
    payload = f"hello {os.getpid()}"
    running.publish("sensors/kitchen", [payload])
    running.wait_for_done(before + 1)
    assert running.rows("topic, processed, retry_count", f"payload = CAST('{payload}' AS BLOB)") == [
        ["sensors/kitchen", 1, 0]
    ]
    assert any(payload in line for line in running.only("processor").output)
    assert running.metric("fmq_stored_total") >= 1
    assert running.metric("fmq_processed_total", running.only("processor"), port=9465) >= 1


def test_a_publisher_on_this_machine_reaches_the_broker(running: Stack) -> None:
    """The broker's port on loopback takes messages of programs outside of the containers."""
    before = running.status()["done"]
    assert publish(running.broker_port, (("sensors/outside", b"%d" % number) for number in range(500))) == 500
    running.wait_for_done(before + 500)


def test_metrics_and_health_are_served_on_loopback(running: Stack) -> None:
    """/metrics, /healthz and /readyz of the listener answer on the published port."""
    assert f'fmq_stored_total{{queue="{QUEUE}"}}' in _get(running, "/metrics")
    assert json.loads(_get(running, "/healthz"))["status"] == "ok"
    assert json.loads(_get(running, "/readyz"))["checks"] == {"store": "ok", "broker": "ok"}


def test_ports_are_published_on_loopback_only(running: Stack) -> None:
    """What is published at all is bound to 127.0.0.1; a processor publishes nothing."""
    published = {}
    for service in _SERVICES:
        ports = running.only(service).inspect()["NetworkSettings"]["Ports"] or {}
        published[service] = {binding["HostIp"] for bindings in ports.values() for binding in bindings or ()}
    assert published == {
        "mosquitto": {"127.0.0.1"},
        "listener": {"127.0.0.1"},
        "processor": set(),
        "web": {"127.0.0.1"},
    }


@pytest.mark.parametrize("service", _SERVICES)
def test_hardening_holds(running: Stack, service: str) -> None:
    """Inside of a running container: no root, no capability to gain, no new privileges, seccomp on, nothing writable but
    volumes and /tmp.
    """
    container = running.only(service)
    status = dict(
        line.split(":\t", 1) for line in container.run("cat", "/proc/1/status").stdout.splitlines() if ":\t" in line
    )
    assert status["Uid"].split()[0] == ("1883" if service == "mosquitto" else "10001")
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for path in ("/", "/opt", "/etc", "/usr/bin", "/var/tmp"):  # noqa: S108
        refused = container.run("sh", "-c", f": >{path}/test", check=False)
        assert "Read-only file system" in refused.stderr, path
    volume = "/mosquitto/data" if service == "mosquitto" else "/data"
    container.run("sh", "-c", f": >{volume}/test && rm {volume}/test")
    limit = container.inspect()["HostConfig"]
    assert limit["Memory"] > 0
    assert limit["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}


def test_files_on_the_volume_belong_to_the_services(running: Stack) -> None:
    """The database and its log belong to the services' user, and nobody else may read them."""
    lines = running.listener.run("sh", "-c", "stat -c '%n %u:%g %a' /data /data/mqtt_queue.db*").stdout.splitlines()
    found = {name: (owner, int(mode, 8)) for name, owner, mode in (line.split() for line in lines)}
    assert found.keys() == {"/data", *(f"/data/mqtt_queue.db{end}" for end in ("", "-wal", "-shm"))}
    assert {owner for owner, _ in found.values()} == {"10001:10001"}
    assert all(mode & 0o007 == 0 for _, mode in found.values())


def test_logs_are_json(running: Stack) -> None:
    """Every line that listener and processor write is one JSON object with time, level, service and message."""
    for service in ("listener", "processor", "web"):
        lines = [json.loads(line) for line in running.only(service).output]
        assert lines
        assert {line["service"] for line in lines} == {service}
        assert {line["level"] for line in lines} <= {"INFO", "WARNING"}
        assert all(line["message"] and datetime.fromisoformat(line["timestamp"]) for line in lines)


def test_operators_commands_work_in_the_containers(running: Stack) -> None:
    """`fmq status`, `fmq dead` and `fmq health --ready` can be run by docker compose exec, as the documentation says."""
    for service in ("listener", "processor", "web"):
        container = running.only(service)
        assert QUEUE in container.run("fmq", "status").stdout
        assert json.loads(container.run("fmq", "dead", "list", QUEUE, "--json").stdout)["messages"] == []
        grace = json.loads(container.run("fmq", "config", service, "--json").stdout)["sections"][service][
            "grace_seconds"
        ]
        assert grace["origin"].startswith("/etc/fmq/fmq.toml:"), "the file of the compose file counts"
        assert '"ok"' in container.run("fmq", "health", "--ready").stdout


def test_backup_while_it_runs(running: Stack) -> None:
    """The command of the documentation makes a sound copy of the database while everything runs."""
    told = (Path(__file__).parents[2] / "docs" / "compose.md").read_text(encoding="utf-8")
    command = re.search(r"^docker compose exec listener (fmq backup (\S+))$", told, re.MULTILINE)
    assert command
    path = command[2]
    assert "checked" in running.listener.run(*command[1].split()).stdout
    check = f"import apsw; print(apsw.Connection('{path}').pragma('integrity_check'))"
    assert running.listener.run("python", "-c", check).stdout == "ok\n"
    running.listener.run("rm", path)


def test_scaled_to_three_every_message_is_handled_once(running: Stack, tell: Callable[[str], None]) -> None:
    """With FMQ_PROCESSORS=3 all three take part, and each message is handled by one of them, once. The next `up` keeps them."""
    before = running.status()["done"]
    running.variables["FMQ_PROCESSORS"] = "3"
    running.up()
    running.up()
    processors = running.containers("processor")
    assert len(processors) == 3
    payloads = [f"scaled {number}" for number in range(3_000)]
    running.publish("sensors/scaled", payloads)
    running.wait_for_done(before + len(payloads))
    shares = []
    handled: list[str] = []
    for one in processors:
        mine = re.findall(r": (scaled \d+)\"", "\n".join(one.output))
        shares.append(len(mine))
        handled += mine
    assert sorted(handled) == sorted(payloads)
    assert min(shares) > 0
    tell(f"three processors: {len(payloads):,} messages, each handled once, by shares of {shares}")
    running.variables["FMQ_PROCESSORS"] = "1"
    running.up()
    wait_for(lambda: len(running.containers("processor")) == 1, 60, what="two processors to go")


def test_restarting_the_containers_loses_nothing(running: Stack) -> None:
    """After `docker compose restart`, with messages waiting at the broker and in the queue, all are handled."""
    before = running.status()["done"]
    running.compose("stop", "processor")
    running.publish("sensors/restart", [f"stored {number}" for number in range(500)])
    wait_for(lambda: running.status()["pending"] == 500, what="500 messages in the queue")
    running.compose("stop", "listener")
    running.publish("sensors/restart", [f"at the broker {number}" for number in range(500)])
    running.compose("restart")
    running.up()
    running.wait_for_done(before + 1_000)
    assert running.status()["stored"] == running.status()["done"]
