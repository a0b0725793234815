"""The dev overlay at work, as far as it goes without a cluster: its broker's files, its settings, its probes."""

import base64
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.publish as mqtt
import pytest
from paho.mqtt import MQTTException

from k8s.manifests import Workload, environment, manifests, pick, workloads
from support.broker import free_port
from support.processes import Processes
from support.wait import wait_for

BUILD = "dev"


class _Running(NamedTuple):
    port: int
    password: str
    folder: Path


def _workload(name: str) -> Workload:
    (found,) = [one for one in workloads(BUILD) if one.name == f"StatefulSet/{name}"]
    return found


def _mounted(workload: Workload, container: str, folder: Path) -> dict[str, Path]:
    """Write what is mounted into a container below ``folder``; returns where each mount path is now."""
    places = {}
    for path, volume in workload.mounts(workload.container(container)).items():
        place = folder / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        places[path] = place
        if "configMap" in volume:
            for key, text in pick(manifests(BUILD), "ConfigMap", volume["configMap"]["name"])["data"].items():
                (place / key).write_text(text, encoding="utf-8")
        if "secret" in volume:
            data = pick(manifests(BUILD), "Secret", volume["secret"]["secretName"])["data"]
            for one in volume["secret"].get("items") or [{"key": key, "path": key} for key in data]:
                (place / one["path"]).write_bytes(base64.b64decode(data[one["key"]]))
    return places


def _moved(text: str, places: dict[str, Path]) -> str:
    """``text`` with paths in a container replaced by where they are here."""
    paths = "|".join(map(re.escape, places))
    return re.sub(rf"({paths})/", lambda match: f"{places[match[1]]}/", text)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[_Running]:
    """The overlay's Mosquitto: its command, configuration and users; only the port and the folders differ."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "mosquitto is missing (Debian: apt-get install mosquitto)"
    workload = _workload("mosquitto")
    places = _mounted(workload, "mosquitto", tmp_path / "broker")
    port = free_port()
    _, _, config = (_moved(one, places) for one in workload.container("mosquitto")["command"])
    text, count = re.subn(r"(?m)^listener 1883$", f"listener {port} 127.0.0.1", Path(config).read_text("utf-8"))
    assert count == 1
    if os.geteuid() == 0:
        text = f"user root\n{text}"
    Path(config).write_text(_moved(text, places), encoding="utf-8")
    secret = pick(manifests(BUILD), "Secret", _workload("fmq").volumes["broker-password"]["secret"]["secretName"])
    process = subprocess.Popen([program, "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield _Running(port, base64.b64decode(secret["data"]["password"]).decode(), tmp_path)
        assert process.poll() is None, "Mosquitto ended on its own"
    finally:
        process.terminate()
        process.wait(30)


def _publish(broker: _Running, password: str, count: int = 1) -> None:
    messages: mqtt.MessagesList = [(f"sensors/{number}", b"{}", 1, False) for number in range(count)]
    auth: mqtt.AuthParameter = {"username": "fmq", "password": password}
    mqtt.multiple(messages, "127.0.0.1", broker.port, auth=auth)


def _answer(port: int, path: str) -> str:
    """What a service answers; nothing while it does not, or is not well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def test_messages_flow(broker: _Running) -> None:
    """Listener and processor with the pod's environments get ready at their probes, and messages are handled."""
    workload = _workload("fmq")
    ports = {}
    with Processes(broker.folder) as processes:
        for name, command in (("listener", "listen"), ("processor", "process")):
            container = workload.container(name)
            places = _mounted(workload, name, broker.folder / "pod")
            variables = {
                key: _moved(value, places)
                for key, value in environment(BUILD, workload, container).items()
                if key.startswith("FMQ_")
            }
            assert variables["FMQ_BROKER_URL"] == "mqtt://mosquitto:1883"
            variables["FMQ_BROKER_URL"] = f"mqtt://127.0.0.1:{broker.port}"
            variables["FMQ_HTTP_PORT"] = str(free_port())
            ports[name] = int(variables["FMQ_HTTP_PORT"])
            processes.start(command, **variables)
        for name, port in ports.items():
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = workload.container(name)[probe]["httpGet"]["path"]
                wait_for(lambda port=port, path=path: _answer(port, path), what=f"{name}'s {probe}")  # type: ignore[misc]
        _publish(broker, broker.password, 50)
        handled = 'fmq_processed_total{outcome="done",queue="sensors/#"} 50.0'
        wait_for(lambda: handled in _answer(ports["processor"], "/metrics"), what="50 handled messages")
        assert 'fmq_stored_total{queue="sensors/#"} 50.0' in _answer(ports["listener"], "/metrics")
    assert (broker.folder / "pod" / "data" / "mqtt_queue.db").exists()


def test_the_broker_asks_for_the_password(broker: _Running) -> None:
    """The Secret's password opens the broker; another one, or none, does not."""
    wait_for(lambda: _try(broker, broker.password), what="the broker to take the password")
    for password in ("wrong", ""):
        with pytest.raises(MQTTException, match=r"(?i)not authori"):
            _publish(broker, password)


def _try(broker: _Running, password: str) -> bool:
    try:
        _publish(broker, password)
    except ConnectionRefusedError:
        return False
    return True
