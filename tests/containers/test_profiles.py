"""The profiles `demo` and `monitoring`. Grafana is not started here: tests/containers/README.md says why."""

import json
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from support.broker import free_port
from support.containers.engine import ROOT, Engine
from support.containers.stack import QUICK, Stack
from support.wait import wait_for

_MONITORING = ("prometheus", "alertmanager")


@pytest.fixture(scope="module")
def demo(engine: Engine, images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The profile `demo`, with two processors. `monitoring` is started by its test."""
    checks = {name: {"healthcheck": {"interval": "1s", "retries": 30}} for name in _MONITORING}
    ports = {"PROMETHEUS_PORT": str(free_port()), "ALERTMANAGER_PORT": str(free_port())}
    folder = tmp_path_factory.mktemp("demo")
    with Stack(
        engine, folder, images=images, overrides=(QUICK, {"services": checks}), variables={**ports, "FMQ_BATCH": "1"}
    ) as stack:
        stack.up("--scale", "processor=2", "listener", "processor", "publisher")
        yield stack


def test_demo_publishes_by_itself(demo: Stack) -> None:
    """With the profile `demo` messages come and are handled without anybody doing anything, and it ends when told to."""
    demo.wait_for_done(6)
    rooms = ("kitchen", "bedroom", "office")
    assert {row[0] for row in demo.rows("topic")} == {f"sensors/{room}/temperature" for room in rooms}
    assert all(json.loads(payload)["number"] for payload in demo.payloads())
    publisher = demo.only("publisher")
    publisher.stop()
    assert publisher.exit_code == 0


def _prometheus(stack: Stack, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
    url = f"http://127.0.0.1:{stack.variables['PROMETHEUS_PORT']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def _query(stack: Stack, expression: str) -> list[dict[str, str]]:
    """The labels of the series that an expression finds."""
    return [series["metric"] for series in _prometheus(stack, "query", query=expression)["result"]]


def test_prometheus_watches_every_service(demo: Stack, tell: Callable[[str], None]) -> None:
    """Prometheus scrapes the listener and each processor, however many there are, and knows the Alertmanager."""
    demo.compose("stop", "publisher")
    count = demo.status()["stored"] + 100
    demo.publish("sensors/watched", [str(number) for number in range(100)])
    demo.wait_for_done(count)

    demo.up(*_MONITORING)
    expected = {"fmq-listener": 1, "fmq-processor": 2}
    wait_for(lambda: Counter(labels["job"] for labels in _query(demo, "up == 1")) == expected, 60, what="three targets")
    wait_for(lambda: _query(demo, f"sum(fmq_stored_total) == {count}"), 60, what="all stored messages")
    wait_for(lambda: _query(demo, f"sum(fmq_processed_total) == {count}"), 60, what="all handled messages")
    wait_for(lambda: len(_prometheus(demo, "alertmanagers")["activeAlertmanagers"]) == 1, 60, what="the Alertmanager")
    tell("monitoring: Prometheus scrapes one listener and two processors, found by name, and reaches Alertmanager")


@pytest.mark.parametrize(
    ("image", "folder", "command"),
    [
        ("prom/prometheus:v3.5.0", "prometheus", ("promtool", "check", "config")),
        ("prom/alertmanager:v0.28.1", "alertmanager", ("amtool", "check-config")),
    ],
    ids=lambda value: value if value in _MONITORING else "",
)
def test_configuration_is_valid(engine: Engine, image: str, folder: str, command: tuple[str, ...]) -> None:
    """Prometheus's and Alertmanager's own checkers take their configuration."""
    mount = f"{ROOT / 'monitoring' / folder}:/etc/{folder}:ro"
    path = f"/etc/{folder}/{folder}.yml"
    engine.docker("run", "--rm", "--volume", mount, "--entrypoint", command[0], image, *command[1:], path)
