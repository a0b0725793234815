"""The profiles `demo` and `monitoring`. Grafana is not started here: tests/containers/README.md says why."""

import json
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from containers.conftest import StackMaker
from support.broker import free_port
from support.containers.engine import ROOT, Engine
from support.containers.stack import Stack
from support.wait import wait_for

_MONITORING = ("prometheus", "alertmanager")


def test_demo_publishes_by_itself(stack: StackMaker) -> None:
    """With the profile `demo` messages come and are handled without anybody doing anything, and it ends when told to."""
    made = stack()
    made.up("listener", "processor", "publisher")
    made.wait_for_done(6)
    rooms = ("kitchen", "bedroom", "office")
    assert {row[0] for row in made.rows("topic")} == {f"sensors/{room}/temperature" for room in rooms}
    assert all(json.loads(payload)["number"] for payload in made.payloads())
    publisher = made.only("publisher")
    publisher.stop()
    assert publisher.exit_code == 0


def _prometheus(stack: Stack, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
    url = f"http://127.0.0.1:{stack.variables['PROMETHEUS_PORT']}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def _query(stack: Stack, expression: str) -> list[dict[str, str]]:
    """The labels of the series that an expression finds."""
    return [series["metric"] for series in _prometheus(stack, "query", query=expression)["result"]]


def test_prometheus_watches_every_service(stack: StackMaker, tell: Callable[[str], None]) -> None:
    """Prometheus scrapes the listener and each processor, however many there are, and knows the Alertmanager."""
    checks = {name: {"healthcheck": {"interval": "1s", "retries": 30}} for name in _MONITORING}
    made = stack(
        {"services": checks}, PROMETHEUS_PORT=str(free_port()), ALERTMANAGER_PORT=str(free_port()), FMQ_BATCH="1"
    )
    made.up("--scale", "processor=2", "listener", "processor")
    made.publish("sensors/watched", [str(number) for number in range(100)])
    made.wait_for_done(100)

    made.up(*_MONITORING)
    expected = {"fmq-listener": 1, "fmq-processor": 2}
    wait_for(lambda: Counter(labels["job"] for labels in _query(made, "up == 1")) == expected, 60, what="three targets")
    wait_for(lambda: _query(made, "sum(fmq_stored_total) == 100"), 60, what="100 stored messages")
    wait_for(lambda: _query(made, "sum(fmq_processed_total) == 100"), 60, what="100 handled messages")
    wait_for(lambda: len(_prometheus(made, "alertmanagers")["activeAlertmanagers"]) == 1, 60, what="the Alertmanager")
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
