"""`fmq doctor` before real brokers: healthy ones and such as can't serve a listener."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fmq.cli import checks
from fmq.finding import Level
from fmq_listener.doctor import check_broker
from support.broker import Broker, free_port, publish
from support.certificates import Certificates
from support.processes import Processes
from support.proxy import SUBACK, SUBSCRIBE, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

_CONNECT, _CONNACK = 1, 2
_NOT_AUTHORIZED = b"\x87"


def diagnosis(**settings: object) -> dict[str, tuple[str, str]]:
    """What the listener's check says about each thing of the broker's: level and text."""
    found = checks.run(check_broker, {name: str(value) for name, value in settings.items()})
    return {one.about: (one.level.value, one.text) for one in found}


def command(fmq: Processes, **settings: object) -> dict[str, tuple[str, str]]:
    """The same from the command as a whole, in a process of its own."""
    process = fmq.start("doctor", "--json", "--skip", "store", **settings)
    process.wait()
    return {one["about"]: (one["level"], one["text"]) for one in json.loads(process.text)["findings"]}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_healthy(broker: Broker, version: str) -> None:
    """Reached, subscriptions granted, limits high enough."""
    found = diagnosis(FMQ_BROKER_URL=broker.url, FMQ_TOPICS="a/#,$share/g/b", FMQ_MQTT_VERSION=version)
    shared, _ = found.pop("subscription $share/g/b")
    assert shared == ("ok" if version == "5" else "warning")  # 3.1.1 can't say whether the broker has them
    assert {level for level, _ in found.values()} == {"ok"}
    assert "mosquitto version" in found["broker's version"][1]
    assert found["subscription a/#"][1].startswith("granted")


def test_beside_a_running_listener(fmq: Processes, broker: Broker, database: Path) -> None:
    """It does not take over the listener's session, takes none of its messages, and leaves no session of its own."""
    listener = fmq.start("listen", "a/#", FMQ_BROKER_URL=broker.url)
    listener.wait_to_say("subscribed successfully")
    connections = broker.log.count("New client connected")
    diagnosis(FMQ_BROKER_URL=broker.url, FMQ_TOPICS="a/#")
    assert publish(broker.port, [("a/b", b"%d" % n) for n in range(100)]) == 100
    rows = Rows(database)
    wait_for(lambda: rows.count("a/#") == 100, what="all messages")
    rows.close()
    assert len(listener.said("subscribed successfully")) == 1, "the listener had to connect again"
    assert broker.log.count("New client connected") == connections + 4  # the doctor's visits and the publisher
    listener.terminate()
    names = re.findall(r"as (fmq-doctor-\w+)", broker.log)
    assert len(set(names)) == 3
    assert not any(_has_session(broker, name) for name in names)


def _has_session(broker: Broker, client_id: str) -> bool:
    """Whether the broker keeps something for a client that is away."""
    present: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda _client, _userdata, flags, _reason, _properties: present.append(flags.session_present)
    client.connect("127.0.0.1", broker.port, clean_start=False)
    wait_for(lambda: client.loop(0.1) or present, what="the broker's answer")
    client.disconnect()
    return present[0]


def test_not_reached() -> None:
    """Nobody listens, and a name that nobody has."""
    for url, why in ((f"mqtt://127.0.0.1:{free_port()}", "refused"), ("mqtt://nowhere.invalid", "can't be resolved")):
        level, text = diagnosis(FMQ_BROKER_URL=url)["broker"]
        assert level == "problem"
        assert why in text.lower()


@pytest.mark.parametrize("setting", ["FMQ_TLS_CA_FILE", "FMQ_TLS_CERT_FILE"])
def test_a_certificate_that_cannot_be_read(tmp_path: Path, setting: str) -> None:
    """A listener would not start, so it is a problem, although the settings themselves are valid."""
    (tmp_path / "broken.pem").write_text("broken")
    files: dict[str, str] = {setting: f"{tmp_path}/broken.pem"}
    if setting == "FMQ_TLS_CERT_FILE":
        files["FMQ_TLS_KEY_FILE"] = f"{tmp_path}/broken.pem"
    level, text = diagnosis(FMQ_BROKER_URL=f"mqtts://127.0.0.1:{free_port()}", **files)["settings"]
    assert (level, setting in text) == ("problem", True)
    assert ("belongs to another certificate" in text) == (setting == "FMQ_TLS_CERT_FILE")


def test_another_program(fmq: Processes, broker: Broker) -> None:
    """TLS where there is none."""
    level, text = command(fmq, FMQ_BROKER_URL=f"mqtts://127.0.0.1:{broker.port}")["broker"]
    assert (level, "TLS" in text or "not reached" in text) == ("problem", True)


def test_refused(tmp_path: Path) -> None:
    """A broker that wants a user: told with the settings to set, and a password never shown."""
    with Broker(tmp_path / "closed", anonymous=False) as closed:
        level, text = diagnosis(FMQ_BROKER_URL=closed.url)["broker"]
        assert (level, "Not authorized" in text) == ("problem", True)
        found = diagnosis(FMQ_BROKER_URL=closed.url.replace("//", "//anna:hunter2@"))
        assert "hunter2" not in str(found)


def test_a_subscription_that_is_refused(broker: Broker) -> None:
    """A problem, told with the broker's reason; the others are tried all the same."""

    def watch(packet: Packet) -> bytes:
        key = packet.connection, packet.packet_id
        if packet.kind == SUBSCRIBE and b"closed/#" in packet.raw:
            asked.add(key)
        return packet.raw[:-1] + _NOT_AUTHORIZED if packet.kind == SUBACK and key in asked else packet.raw

    asked: set[tuple[int, int]] = set()
    with Proxy(broker.port, watch) as proxy:
        found = diagnosis(FMQ_BROKER_URL=proxy.url, FMQ_TOPICS="closed/#,open/#")
    assert found["subscription open/#"][0] == "ok"
    assert found["subscription closed/#"] == ("problem", "the broker refused it: Not authorized")


class _Strict:
    """Ends the connection at what it forbids, as RabbitMQ does: after the SUBACK that refuses, and at once for $SYS."""

    def __init__(self) -> None:
        self._refused: set[tuple[int, int]] = set()

    def __call__(self, packet: Packet) -> bytes | None:
        key = packet.connection, packet.packet_id
        if packet.kind == SUBSCRIBE and b"$SYS" in packet.raw:
            return None
        if packet.kind == SUBSCRIBE and b"closed/" in packet.raw:
            self._refused.add(key)
            return packet.raw
        if packet.kind == SUBACK and key in self._refused:
            return packet.raw[:-1] + _NOT_AUTHORIZED
        if packet.to_broker and packet.kind != _CONNECT and packet.connection in {one for one, _ in self._refused}:
            return None
        return packet.raw


def test_a_broker_that_closes_the_connection_at_what_it_forbids(broker: Broker) -> None:
    """$SYS is asked for last, and each filter is tried all the same."""
    with Proxy(broker.port, _Strict()) as proxy:
        found = diagnosis(FMQ_BROKER_URL=proxy.url, FMQ_TOPICS="closed/a,open/a,closed/b,open/b")
    assert found["broker"][0] == "ok"
    assert found["subscription closed/a"] == found["subscription closed/b"]
    assert found["subscription closed/a"] == ("problem", "the broker refused it: Not authorized")
    assert found["subscription open/a"][0] == found["subscription open/b"][0] == "ok"
    assert found["broker's queue"][0] == "ok"


def test_shared_subscriptions_that_the_broker_does_not_have(broker: Broker) -> None:
    """CONNACK says so (MQTT 5, section 3.2.2.3.13): a problem where FMQ_TOPICS needs them."""
    connack = _saying({0x2A: b"\0"})
    with Proxy(broker.port, lambda packet: connack if packet.kind == _CONNACK else packet.raw) as proxy:
        level, text = diagnosis(FMQ_BROKER_URL=proxy.url, FMQ_TOPICS="$share/g/a")["broker's limits"]
    assert (level, "no shared subscriptions" in text) == ("problem", True)


@pytest.mark.parametrize(("days", "level"), [(5, "warning"), (100, "ok")])
def test_a_certificate_that_ends(fmq: Processes, tmp_path: Path, days: int, level: str) -> None:
    """Told before the listener is shut out."""
    files = Certificates(tmp_path / "certificates", ends=datetime.now(UTC) + timedelta(days=days, hours=1))
    config = [f"cafile {files.ca}", f"certfile {files.server_cert}", f"keyfile {files.server_key}"]
    with Broker(tmp_path / "tls", config, scheme="mqtts") as broker:
        found = diagnosis(FMQ_BROKER_URL=broker.url, FMQ_TLS_CA_FILE=files.ca)
        assert found["broker"][0] == "ok"
        assert found["broker's certificate"][0] == level
        level, text = command(fmq, FMQ_BROKER_URL=broker.url)["broker"]
    assert (level, "certificate of the broker was rejected: its CA is unknown" in text) == ("problem", True)


def _saying(properties: Mapping[int, bytes]) -> bytes:
    """A CONNACK with success and these properties (MQTT 5, section 3.2)."""
    encoded = b"".join(bytes([number]) + value for number, value in properties.items())
    body = bytes([0, 0, len(encoded)]) + encoded
    return bytes([_CONNACK << 4, len(body)]) + body


def test_limits_too_low(broker: Broker) -> None:
    """Each limit of the CONNACK that is below what the settings want is reported with both figures."""
    connack = _saying(
        {
            0x11: (3_600).to_bytes(4),  # Session Expiry Interval
            0x21: (20).to_bytes(2),  # Receive Maximum
            0x24: b"\x00",  # Maximum QoS
            0x28: b"\x00",  # Wildcard Subscription Available
            0x2A: b"\x00",  # Shared Subscription Available
        }
    )

    def watch(packet: Packet) -> bytes:
        return connack if packet.kind == _CONNACK and not packet.to_broker else packet.raw

    with Proxy(broker.port, watch) as proxy:
        settings = {"FMQ_BROKER_URL": proxy.url, "FMQ_TOPICS": "a/#,$share/g/b"}
        told = [one.text for one in check_broker(settings) if one.level is not Level.OK]
    assert len(told) == 5
    for part in ("20, FMQ_INFLIGHT 10,000", "3,600 s", "Maximum QoS", "wildcards", "shared subscriptions"):
        assert any(part in text for text in told), part


def test_dropped_messages(fmq: Processes, tmp_path: Path) -> None:
    """A broker that has dropped messages is reported, with the limits to look at."""
    broker = Broker(tmp_path / "small")
    file = broker.folder / "mosquitto.conf"
    text = file.read_text().replace("max_queued_messages 1000000", "max_queued_messages 10")
    file.write_text("sys_interval 1\n" + text.replace("max_inflight_messages 10000", "max_inflight_messages 1"))
    with broker:
        listener = fmq.start("listen", "a", FMQ_BROKER_URL=broker.url)
        listener.wait_to_say("subscribed successfully")
        listener.terminate()
        publish(broker.port, [("a", b"x")] * 100)
        wait_for(
            lambda: diagnosis(FMQ_BROKER_URL=broker.url)["broker's queue"][0] == "warning", what="the broker to tell"
        )
