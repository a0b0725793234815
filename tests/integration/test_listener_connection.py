"""Reaching the broker, losing it, and what the log says meanwhile."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.broker import Broker, free_port, publish
from support.certificates import Certificates
from support.processes import FmqProcess, Processes
from support.proxy import PUBLISH, SUBACK, SUBSCRIBE, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"
_SESSION_TAKEN_OVER = b"\xe0\x02\x8e\x00"
_FAST = {"FMQ_RECONNECT_MAX_SECONDS": "0.2"}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


@pytest.fixture
def tls_broker(tmp_path: Path, certificates: Certificates) -> Iterator[Broker]:
    """A Mosquitto that takes TLS with a client certificate only."""
    config = [
        f"cafile {certificates.ca}",
        f"certfile {certificates.server_cert}",
        f"keyfile {certificates.server_key}",
        "require_certificate true",
    ]
    with Broker(tmp_path / "tls", config, scheme="mqtts") as running:
        yield running


def _publish_over_tls(broker: Broker, certificates: Certificates, topic: str, payload: str) -> None:
    files = ["--cafile", str(certificates.ca)]
    files += ["--cert", str(certificates.client_cert), "--key", str(certificates.client_key)]
    subprocess.run(
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), *files, "-q", "1", "-t", topic, "-m", payload],
        check=True,
        timeout=30,
    )


@VERSIONS
def test_tls_with_a_client_certificate(
    tls_broker: Broker, certificates: Certificates, fmq: Processes, database: Path, version: str
) -> None:
    """A broker of a private CA that wants a certificate is served like any other, bursts included."""
    listener = fmq.start(
        "listen",
        "tls",
        FMQ_BROKER_URL=tls_broker.url,
        FMQ_TLS_CA_FILE=certificates.ca,
        FMQ_TLS_CERT_FILE=certificates.client_cert,
        FMQ_TLS_KEY_FILE=certificates.client_key,
        FMQ_MQTT_VERSION=version,
    )
    listener.wait_to_say(_SUBSCRIBED)
    rows = Rows(database)
    listener.stop_for_a_while()
    for number in range(20):
        _publish_over_tls(tls_broker, certificates, "tls", f"{number} {'x' * 1000}")
    listener.go_on()
    wait_for(lambda: rows.count("tls") == 20, what="20 rows")
    shown = re.findall(
        r'^fmq_certificate_expiry_timestamp_seconds{certificate="(\w+)"} (\S+)$', listener.get("metrics"), re.MULTILINE
    )
    assert {name for name, at in shown if float(at) > time.time()} == {"broker", "client", "ca"}
    assert listener.terminate() == 0
    assert re.search(r"Client fmq-\S+ disconnected\.", tls_broker.log), "the broker did not see the DISCONNECT"


def test_a_broker_of_another_ca_is_refused_in_clear_words(tls_broker: Broker, fmq: Processes, tmp_path: Path) -> None:
    """Nothing is sent to it; the log says why, and that the next attempt follows."""
    other = Certificates(tmp_path / "others")
    listener = fmq.start("listen", "tls", FMQ_BROKER_URL=tls_broker.url, FMQ_TLS_CA_FILE=other.ca, **_FAST)
    said = listener.wait_to_say("the TLS certificate of the broker was rejected", times=2)
    assert "next attempt in" in said[0]["message"]
    assert "New client connected" not in tls_broker.log
    assert listener.terminate() == 0


def test_a_broker_of_another_name_is_refused(tls_broker: Broker, certificates: Certificates, fmq: Processes) -> None:
    """The certificate must be for the host of the URL."""
    url = f"mqtts://localhost:{tls_broker.port}"
    listener = fmq.start("listen", "tls", FMQ_BROKER_URL=url, FMQ_TLS_CA_FILE=certificates.ca, **_FAST)
    listener.wait_to_say("Hostname mismatch")


def test_without_a_client_certificate_the_broker_refuses(
    tls_broker: Broker, certificates: Certificates, fmq: Processes
) -> None:
    """The log says that it failed and goes on trying."""
    listener = fmq.start("listen", "tls", FMQ_BROKER_URL=tls_broker.url, FMQ_TLS_CA_FILE=certificates.ca, **_FAST)
    listener.wait_to_say("failed", times=2)
    assert not listener.said(_SUBSCRIBED)


@VERSIONS
def test_a_wrong_password_is_told_and_a_right_one_works_from_then_on(
    tmp_path: Path, fmq: Processes, version: str
) -> None:
    """The refusal is in the log in words; once the broker knows the password, the listener connects automatically."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "listener", "another"], check=True, capture_output=True)
    passwords.chmod(0o644)
    (tmp_path / "secret").write_text("hunter2\n", encoding="utf-8")
    broker = Broker(tmp_path / "broker", [f"password_file {passwords}"], anonymous=False)
    with broker:
        listener = fmq.start(
            "listen",
            "p",
            FMQ_BROKER_URL=broker.url,
            FMQ_BROKER_USERNAME="listener",
            FMQ_BROKER_PASSWORD_FILE=tmp_path / "secret",
            FMQ_MQTT_VERSION=version,
            **_FAST,
        )
        listener.wait_to_say("the broker refused the connection: Not authorized", times=2)
        subprocess.run(["mosquitto_passwd", "-b", passwords, "listener", "hunter2"], check=True, capture_output=True)
        passwords.chmod(0o644)
        broker.reload()
        listener.wait_to_say(_SUBSCRIBED)
        assert listener.terminate() == 0
        assert "hunter2" not in listener.text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mqtt://" + "x" * 70 + ".invalid", "the host name can't be resolved"),
        ("mqtt://127.0.0.1:{free}", "Connection refused"),
    ],
)
def test_a_broker_that_cannot_be_reached_is_told_and_tried_again(fmq: Processes, url: str, why: str) -> None:
    """Forever by default; with a limit, the listener ends with code 1 and the last reason."""
    listener = fmq.start("listen", "x", FMQ_BROKER_URL=url.format(free=free_port()), FMQ_CONNECT_ATTEMPTS=3, **_FAST)
    assert listener.wait() == 1
    assert len(listener.said(why)) == 3  # two attempts that are followed by another one, and the end
    assert "(FMQ_CONNECT_ATTEMPTS=3)" in listener.text
    assert "Traceback" not in listener.text


def test_a_port_that_speaks_no_mqtt_is_told(broker: Broker, fmq: Processes) -> None:
    """A listener pointed at something else says that no CONNACK came, and does not hang."""
    with Proxy(broker.port, lambda _packet: None) as silent:
        listener = fmq.start("listen", "x", FMQ_BROKER_URL=silent.url, FMQ_CONNECT_ATTEMPTS=2, **_FAST)
        assert listener.wait() == 1
        assert "the broker did not answer CONNECT" in listener.text


def test_sigterm_ends_the_attempts_to_connect(fmq: Processes) -> None:
    """However long the next pause is."""
    listener = fmq.start("listen", "x", FMQ_BROKER_URL=f"mqtt://127.0.0.1:{free_port()}")
    listener.wait_to_say("next attempt in")
    assert listener.terminate(5) == 0


def test_a_broker_restart_during_load_loses_nothing(broker: Broker, fmq: Processes, database: Path) -> None:
    """The listener finds its session again, and every acknowledged publication is stored."""
    listener = fmq.start("listen", "load", FMQ_BROKER_URL=broker.url, **_FAST)
    listener.wait_to_say(_SUBSCRIBED)
    rows = Rows(database)
    for piece in range(3):
        publish(broker.port, (("load", b"%d-%d" % (piece, number)) for number in range(1_000)))
        broker.stop()
        broker.start()
    publish(broker.port, [("load", b"last")])
    wait_for(lambda: rows.holds("load", b"last"), what="the last message")
    expected = {b"%d-%d" % (piece, number) for piece in range(3) for number in range(1_000)} | {b"last"}
    assert set(rows.payloads("load")) == expected
    assert listener.said("Connection to the broker lost")
    assert listener.said("session: present")


def test_a_removed_filter_brings_nothing_more_and_loses_nothing_that_was_queued(
    broker: Broker, fmq: Processes, database: Path
) -> None:
    """What the broker had queued for it still goes into its queue; what comes later is not taken."""
    assert _run_once(fmq, broker, "a", "b").terminate() == 0
    publish(broker.port, [("b", b"queued"), ("a", b"queued")])
    listener = _run_once(fmq, broker, "a")
    listener.wait_to_say("Unsubscribed from b")
    publish(broker.port, [("b", b"late"), ("a", b"late")])
    rows = Rows(database)
    wait_for(lambda: rows.holds("a", b"late"), what="the late message")
    assert rows.payloads("a") == [b"queued", b"late"]
    assert rows.payloads("b") == [b"queued"]


def test_a_message_of_no_queue_is_stored_counted_and_logged(
    broker: Broker, fmq: Processes, database: Path, tmp_path: Path
) -> None:
    """It would else block the session forever, and a message that is acknowledged without being stored is lost."""
    assert _run_once(fmq, broker, "a", "b").terminate() == 0
    publish(broker.port, [("b", b"queued")])
    (tmp_path / "mqtt_queue.db").rename(tmp_path / "elsewhere.db")
    listener = _run_once(fmq, broker, "a")
    assert "b (now in a)" in listener.wait_to_say("Stored messages that match no topic filter (1)")[0]["message"]
    assert Rows(database).payloads("a") == [b"queued"]
    assert "fmq_unroutable_total 1.0" in listener.get("metrics")
    assert listener.terminate() == 0
    again = _run_once(fmq, broker, "a")
    publish(broker.port, [("a", b"x")])
    wait_for(lambda: 'fmq_stored_total{queue="a"} 1.0' in again.get("metrics"), what="a later message")
    assert "fmq_unroutable_total 0.0" in again.get("metrics")


def test_a_session_that_the_broker_lost_is_told(tmp_path: Path, fmq: Processes) -> None:
    """What was queued in it is gone, which an operator must know; the subscriptions are made anew."""
    broker = Broker(tmp_path / "broker")
    with broker:
        listener = _run_once(fmq, broker, "a")
        assert listener.terminate() == 0
        assert not listener.said("lost this listener's session")
    (tmp_path / "broker" / "mosquitto.db").unlink()
    with broker:
        assert _run_once(fmq, broker, "a").said("lost this listener's session")


def test_a_refused_subscription_is_told_and_the_others_work(broker: Broker, fmq: Processes, database: Path) -> None:
    """The log names filter and reason, /readyz is not ready, and the granted filters fill their queues."""
    order: list[bytes] = []

    def refuse_secret(packet: Packet) -> bytes:
        if packet.kind == SUBSCRIBE:
            order.append(packet.body)
        if packet.kind == SUBACK and b"secret" in next(body for body in order if body[:2] == packet.body[:2]):
            return packet.raw[:-1] + b"\x87"
        return packet.raw

    with Proxy(broker.port, refuse_secret) as proxy:
        listener = fmq.start("listen", "open", "secret", FMQ_BROKER_URL=proxy.url)
        listener.wait_to_say("The broker refused the subscription to secret: Not authorized")
        listener.wait_to_say("Connected, but not subscribed to secret")
        publish(broker.port, [("open", b"x")])
        rows = Rows(database)
        wait_for(lambda: rows.count("open") == 1, what="a message of the other filter")
        assert not listener.said(_SUBSCRIBED)
        assert _ready(listener)["checks"]["broker"] != "ok"


def test_another_client_with_the_same_id_is_told(broker: Broker, fmq: Processes) -> None:
    """The broker's reason becomes a line that says which setting ends it."""

    def evict(packet: Packet) -> bytes:
        return _SESSION_TAKEN_OVER if packet.kind == PUBLISH else packet.raw

    with Proxy(broker.port, evict) as proxy:
        listener = fmq.start("listen", "a", FMQ_BROKER_URL=proxy.url, FMQ_CLIENT_ID="same")
        listener.wait_to_say(_SUBSCRIBED)
        publish(broker.port, [("a", b"")])
        listener.wait_to_say("another client has connected with the same client id same: set FMQ_CLIENT_ID")


def test_two_listeners_that_evict_each_other_are_told_so(broker: Broker, fmq: Processes) -> None:
    """Mosquitto 2.0.11 gives no reason; connections that repeatedly end at once lead to the question."""
    settings = _FAST | {"FMQ_BROKER_URL": broker.url, "FMQ_CLIENT_ID": "same"}
    one = fmq.start("listen", "a", **settings)
    one.wait_to_say(_SUBSCRIBED)
    fmq.start("listen", "a", FMQ_QUEUE_URL="sqlite:///two.db", **settings)
    one.wait_to_say("does another client use this client id? FMQ_CLIENT_ID sets another one")


def test_a_topic_that_is_no_utf_8_is_stored(broker: Broker, fmq: Processes, database: Path) -> None:
    """Mosquitto lets none through, so the proxy makes one; its bytes are kept as escapes."""

    def break_topic(packet: Packet) -> bytes:
        return packet.raw.replace(b"u/XX", b"u/\xff\xfe") if packet.kind == PUBLISH else packet.raw

    with Proxy(broker.port, break_topic) as proxy:
        listener = fmq.start("listen", "u/+", FMQ_BROKER_URL=proxy.url)
        listener.wait_to_say(_SUBSCRIBED)
        publish(broker.port, [("u/XX", b"1"), ("u/ok", b"2")])
        rows = Rows(database)
        wait_for(lambda: rows.count("u/+") == 2, what="both messages")
        assert [row.topic for row in rows.all("u/+")] == ["u/\\xff\\xfe", "u/ok"]


def test_health_and_metrics_tell_how_it_stands(broker: Broker, fmq: Processes) -> None:
    """Alive whether the broker answers or not; ready only while subscribed; counters start at 0."""
    listener = _run_once(fmq, broker, "a", "b/#", **_FAST)
    assert _ready(listener) == {"status": "ok", "checks": {"store": "ok", "broker": "ok"}}
    metrics = listener.get("metrics")
    for line in (
        'fmq_stored_total{queue="b/#"} 0.0',
        "fmq_connected 1.0",
        "fmq_reconnects_total 0.0",
        "fmq_store_writable 1.0",
        'fmq_messages{queue="a",state="pending"} 0.0',
        'service="listener"',
    ):
        assert line in metrics
    publish(broker.port, [("a", b"1"), ("b/x", b"2"), ("b/y", b"3")])
    wait_for(lambda: 'fmq_stored_total{queue="b/#"} 2.0' in listener.get("metrics"), what="the counter")
    wait_for(lambda: "fmq_acknowledged_total 3.0" in listener.get("metrics"), what="the counter")
    (stored_at,) = re.findall(
        r'^fmq_last_stored_timestamp_seconds{queue="b/#"} (.+)$', listener.get("metrics"), re.MULTILINE
    )
    assert abs(float(stored_at) - time.time()) < 60
    broker.stop()
    wait_for(lambda: _ready(listener)["checks"]["broker"] != "ok", what="not ready")
    assert json.loads(listener.get("healthz"))["status"] == "ok"
    assert "fmq_connected 0.0" in listener.get("metrics")
    broker.start()
    wait_for(lambda: _ready(listener)["status"] == "ok", what="ready again")
    assert "fmq_reconnects_total 1.0" in listener.get("metrics")


def _run_once(fmq: Processes, broker: Broker, *topics: str, **settings: object) -> FmqProcess:
    listener = fmq.start(
        "listen", *topics, FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="fixed", FMQ_LEAVE_SECONDS=1, **settings
    )
    listener.wait_to_say(_SUBSCRIBED)
    return listener


def _ready(listener: FmqProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(listener.get("readyz"))
    return found
