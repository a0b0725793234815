"""WebSocket, against amqtt: Debian's Mosquitto is built without it."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import paho.mqtt.client as mqtt
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry

from fmq.message import Incoming, Message
from fmq.service.environment import load
from fmq.store.backends import open_store
from fmq.store.selection import Selection, State
from fmq_processor.handlers.mqtt.handler import MqttHandler
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_web.operations.publisher import Publisher
from fmq_web.settings import WebSettings
from support.broker import free_port
from support.processes import Processes
from support.rows import Rows
from support.wait import wait_for

_CONFIG = """\
listeners:
  default:
    type: ws
    bind: 127.0.0.1:{port}
{tls}plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


@pytest.fixture(params=["ws", "wss"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a running amqtt, a broker in Python that speaks MQTT 3.1.1; with TLS its CA is in ca.pem."""
    found = free_port()
    config = tmp_path / "amqtt.yaml"
    tls = ""
    if request.param == "wss":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / "server.key"))
        tls = f"    ssl: true\n    certfile: {tmp_path}/server.pem\n    keyfile: {tmp_path}/server.key\n"
    config.write_text(_CONFIG.format(port=found, tls=tls), encoding="utf-8")
    with (tmp_path / "amqtt.log").open("wb") as log:
        broker = subprocess.Popen(
            [Path(sys.executable).with_name("amqtt"), "-c", config], stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        wait_for(lambda: _answers(found), what="amqtt to take connections")
        yield f"{request.param}://127.0.0.1:{found}/mqtt"
    finally:
        broker.terminate()
        broker.wait(30)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ca(prefix: str, url: str, folder: Path) -> dict[str, str]:
    return {f"{prefix}_CA_FILE": str(folder / "ca.pem")} if url.startswith("wss") else {}


def test_messages_come_over_a_websocket(url: str, fmq: Processes, database: Path, tmp_path: Path) -> None:
    """Small and large, in order, acknowledged, with TLS and without; the end is as graceful as over TCP.

    One at a time by paho, and all at once by the handler ``mqtt``.
    """
    tls = _ca("FMQ_TLS", url, tmp_path)
    listener = fmq.start("listen", "web/#", FMQ_BROKER_URL=url, FMQ_MQTT_VERSION="3.1.1", **tls)
    listener.wait_to_say("Connected and subscribed successfully")
    sent = [b"small", b"", bytes(200_000), *(b"%d" % number for number in range(50))]
    publisher = mqtt.Client(CallbackAPIVersion.VERSION2, transport="websockets")
    if tls:
        publisher.tls_set(str(tmp_path / "ca.pem"))
    publisher.connect("127.0.0.1", urlsplit(url).port or 0)
    publisher.loop_start()
    for payload in sent:
        publisher.publish("web/x", payload, 1).wait_for_publish(10)
    publisher.disconnect()
    publisher.loop_stop()
    forward = load(
        MqttSettings, {}, {"FMQ_MQTT_URL": url, "FMQ_MQTT_PROTOCOL": "3.1.1", **_ca("FMQ_MQTT_TLS", url, tmp_path)}
    )
    handler = MqttHandler(forward, CollectorRegistry())
    handler.know_store(uuid4())
    assert handler.handle([Message(1, "#", "web/x", one, 1_800_000_000.0) for one in sent]) == [None] * len(sent)
    handler.teardown()
    rows = Rows(database)
    wait_for(lambda: rows.count("web/#") == 2 * len(sent), what="all rows")
    assert rows.payloads("web/#") == sent * 2
    assert listener.terminate() == 0


def test_the_web_page_publishes_over_a_websocket(url: str, tmp_path: Path) -> None:
    """A payload that needs several writes is acknowledged."""
    tls = _ca("FMQ_TLS", url, tmp_path)
    settings = load(WebSettings, {}, {"FMQ_BROKER_URL": url, "FMQ_MQTT_VERSION": "3.1.1", **tls})
    assert settings.broker is not None
    with open_store(f"sqlite:///{tmp_path}/q.db") as store:
        store.declare("#")
        store.put([Incoming("#", "web/a", bytes(range(256)) * 1_000, 1_800_000_000.0)])
        (head,) = store.heads("#", Selection(State.ANY)).heads
        done = Publisher(settings, settings.broker).publish(store, "alice", "#", head.id, retain=False)
    assert done.topic == "web/a"
