"""The broker is the truth: every connection subscribes, and what the broker does not grant does not count as held."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.broker import Broker, publish
from support.processes import FmqProcess, Processes
from support.proxy import PUBLISH, SUBACK, SUBSCRIBE, UNSUBSCRIBE, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"
_CONNECT, _CONNACK = 1, 2
_SHARED_SUBSCRIPTIONS_NOT_AVAILABLE = b"\x2a\x00"
_FAST = {"FMQ_RECONNECT_MAX_SECONDS": "0.2", "FMQ_LEAVE_SECONDS": "1"}


def _listen(fmq: Processes, url: str, *topics: str, **settings: object) -> FmqProcess:
    return fmq.start("listen", *topics, FMQ_BROKER_URL=url, FMQ_CLIENT_ID="fixed", **{**_FAST, **settings})


def _run(fmq: Processes, url: str, *topics: str, **settings: object) -> FmqProcess:
    listener = _listen(fmq, url, *topics, **settings)
    listener.wait_to_say(_SUBSCRIBED)
    return listener


def _broker_check(listener: FmqProcess) -> str:
    return str(json.loads(listener.get("readyz"))["checks"]["broker"])


@VERSIONS
def test_every_connection_subscribes_to_everything(broker: Broker, fmq: Processes, version: str) -> None:
    """Whatever the listener remembers; in MQTT 5 with Retain Handling 1 (section 3.8.3.1)."""
    seen: list[tuple[int, int, bytes]] = []

    def watch(packet: Packet) -> bytes:
        if packet.to_broker and packet.kind in (SUBSCRIBE, UNSUBSCRIBE):
            seen.append((packet.connection, packet.kind, packet.body))
        return packet.raw

    with Proxy(broker.port, watch) as proxy:
        for topics in (("a", "b"), ("b", "a"), ("a", "b")):
            listener = _run(fmq, proxy.url, *topics, FMQ_MQTT_VERSION=version)
            proxy.cut()
            listener.wait_to_say(_SUBSCRIBED, times=2)
            assert listener.terminate() == 0
    assert [(connection, kind) for connection, kind, _ in seen] == [
        (connection, SUBSCRIBE) for connection in range(1, 7) for _ in range(2)
    ]
    assert {body[-1] for _, _, body in seen} == {1 | 1 << 4 if version == "5" else 1}


def test_a_broker_killed_before_it_saved(tmp_path: Path, ends: ExitStack, fmq: Processes, database: Path) -> None:
    """It comes back with the session and without the newest subscription: what it acknowledges from then on is stored."""
    broker = Broker(tmp_path / "broker")
    ends.callback(broker.stop)
    broker.start()
    assert _run(fmq, broker.url, "a").terminate() == 0
    broker.stop()  # saves the session with a
    saved = tmp_path / "saved.db"
    shutil.copy(tmp_path / "broker" / "mosquitto.db", saved)
    broker.start()
    listener = _run(fmq, broker.url, "a", "b")
    broker.kill()
    shutil.copy(saved, tmp_path / "broker" / "mosquitto.db")
    with broker:
        listener.wait_to_say(_SUBSCRIBED, times=2)
        assert listener.said("session: present")
        publish(broker.port, [("b", b"1"), ("a", b"1")])
        rows = Rows(database)
        wait_for(lambda: rows.count("a") == rows.count("b") == 1, what="a message in each queue")


def test_a_broker_restored_from_a_backup_with_a_removed_filter(
    tmp_path: Path, ends: ExitStack, fmq: Processes, database: Path
) -> None:
    """The removed filter is taken back again, although the broker had confirmed once that it was gone."""
    broker = Broker(tmp_path / "broker")
    ends.callback(broker.stop)
    backup = tmp_path / "backup.db"
    with broker:
        assert _run(fmq, broker.url, "a", "b").terminate() == 0
    shutil.copy(tmp_path / "broker" / "mosquitto.db", backup)
    with broker:
        listener = _run(fmq, broker.url, "a")
        listener.wait_to_say("Unsubscribed from b")
        assert listener.terminate() == 0
    shutil.copy(backup, tmp_path / "broker" / "mosquitto.db")
    with broker:
        removals = _removals(broker)
        _run(fmq, broker.url, "a")
        wait_for(lambda: _removals(broker) > removals, 20, what="another UNSUBSCRIBE")
        publish(broker.port, [("b", b"x"), ("a", b"x")])
        rows = Rows(database)
        wait_for(lambda: rows.payloads("a") == [b"x"], what="the other filter's message")
        assert rows.count("b") == 0


def _removals(broker: Broker) -> int:
    """How often Mosquitto has logged that the filter b was unsubscribed from."""
    return len(re.findall(r": fixed b$", broker.log, re.MULTILINE))


def test_a_grant_of_qos_0_counts_as_not_held(tmp_path: Path, ends: ExitStack, fmq: Processes, database: Path) -> None:
    """Not ready, in the metrics, asked for again; once the broker is corrected, QoS 1 holds, in the session too."""
    broker = Broker(tmp_path / "broker")
    ends.callback(broker.stop)
    broker.configure(["max_qos 0"])
    broker.start()
    listener = _listen(fmq, broker.url, "a")
    listener.wait_to_say("at QoS 0 only")
    assert "a (granted at QoS 0 only)" in _broker_check(listener)
    assert 'fmq_subscribed{queue="a"} 0.0' in listener.get("metrics")
    assert "fmq_connected 0.0" in listener.get("metrics")
    broker.stop()
    broker.configure()
    broker.start()
    listener.wait_to_say(_SUBSCRIBED)
    assert _broker_check(listener) == "ok"
    assert 'fmq_subscribed{queue="a"} 1.0' in listener.get("metrics")
    assert listener.terminate() == 0
    publish(broker.port, [("a", b"while it was away")])
    _run(fmq, broker.url, "a")
    wait_for(lambda: Rows(database).payloads("a") == [b"while it was away"], what="the message at QoS 1")


def test_another_broker_behind_the_same_name(tmp_path: Path, fmq: Processes, database: Path) -> None:
    """As after a failover: it knows nothing of this listener, and is asked like the first."""
    with Broker(tmp_path / "one") as one, Broker(tmp_path / "two") as two, Proxy(one.port) as proxy:
        listener = _run(fmq, proxy.url, "a")
        publish(one.port, [("a", b"one")])
        rows = Rows(database)
        wait_for(lambda: rows.count("a") == 1, what="the first message")
        proxy.target(two.port)
        listener.wait_to_say(_SUBSCRIBED, times=2)
        publish(two.port, [("a", b"two")])
        wait_for(lambda: rows.payloads("a") == [b"one", b"two"], what="both messages")


def test_not_ready_until_the_broker_has_granted(broker: Broker, fmq: Processes) -> None:
    """Between CONNACK and SUBACK nothing is subscribed yet."""
    held: list[Packet] = []

    def withhold(packet: Packet) -> bytes:
        if packet.kind == SUBACK:
            held.append(packet)
            return b""
        return packet.raw

    with Proxy(broker.port, withhold) as proxy:
        listener = _listen(fmq, proxy.url, "a")
        wait_for(lambda: held, what="the SUBACK")
        assert "a (no answer yet)" in _broker_check(listener)
        assert "fmq_connected 0.0" in listener.get("metrics")


class _Closing:
    """Refuses the topic ``bad`` and closes the connection behind that SUBACK, as RabbitMQ does."""

    def __init__(self) -> None:
        self.refusals = 0
        self._bad: set[tuple[int, int]] = set()
        self._over: set[int] = set()

    def __call__(self, packet: Packet) -> bytes | None:
        if packet.connection in self._over:
            return None
        key = packet.connection, packet.packet_id
        if packet.kind == SUBSCRIBE and b"bad" in packet.body:
            self._bad.add(key)
        if packet.kind == SUBACK and key in self._bad:
            self.refusals += 1
            self._over.add(packet.connection)
            return packet.raw[:-1] + b"\x87"
        return packet.raw


def test_a_broker_that_closes_the_connection_after_a_refusal(tmp_path: Path, fmq: Processes, database: Path) -> None:
    """The other filters are served; the log blames the refusal, not the client id; /readyz names the filter."""
    closing = _Closing()
    with Broker(tmp_path / "broker") as broker, Proxy(broker.port, closing) as proxy:
        listener = _listen(fmq, proxy.url, "a", "bad", "c")
        listener.wait_to_say("after it refused the subscription to bad")
        listener.wait_to_say("Connected, but not subscribed to bad (Not authorized)")
        assert publish(broker.port, [("a", b"%d" % number) for number in range(1_000)]) == 1_000
        rows = Rows(database)
        wait_for(lambda: rows.count("a") == 1_000, what="every message of the other filter")
        assert closing.refusals == 1
        assert not listener.said("does another client use this client id")
        assert "bad" in _broker_check(listener)
        assert 'fmq_subscribed{queue="c"} 1.0' in listener.get("metrics")


class _ClosingInstead:
    """Closes the connection in place of the SUBACK for the topic ``bad``, as RabbitMQ 3.10 does."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, packet: Packet) -> bytes | None:
        if packet.kind == SUBSCRIBE and b"bad" in packet.body:
            self.closed += 1
            return None
        return packet.raw


@pytest.mark.parametrize(
    ("topics", "version"), [(("a", "bad", "c"), "5"), (("bad", "a", "c"), "3.1.1"), (("a", "c", "bad"), "5")]
)
def test_a_broker_that_closes_the_connection_instead_of_a_refusal(
    tmp_path: Path, fmq: Processes, database: Path, topics: tuple[str, ...], version: str
) -> None:
    """The one filter that it closes for is found, wherever it stands; the others are served, and the log and /readyz name it."""
    closing = _ClosingInstead()
    with Broker(tmp_path / "broker") as broker, Proxy(broker.port, closing) as proxy:
        listener = _listen(fmq, proxy.url, *topics, FMQ_MQTT_VERSION=version)
        listener.wait_to_say(
            "Connected, but not subscribed to bad (the broker closed the connection without an answer)"
        )
        assert listener.said("before it answered the subscription to bad")
        assert publish(broker.port, [("c", b"%d" % number) for number in range(1_000)]) == 1_000
        rows = Rows(database)
        wait_for(lambda: rows.count("c") == 1_000, what="every message of another filter")
        assert closing.closed <= 3  # at most once with the others, then twice alone
        assert not listener.said("does another client use this client id")
        assert "bad" in _broker_check(listener)
        assert 'fmq_subscribed{queue="a"} 1.0' in listener.get("metrics")


def test_a_connection_that_ends_before_the_subacks_blames_no_filter(broker: Broker, fmq: Processes) -> None:
    """Networks fail while SUBSCRIBE is under way, too: all filters are subscribed on the next connection."""

    def cut_thrice(packet: Packet) -> bytes | None:
        return None if packet.kind == SUBACK and packet.connection <= 3 else packet.raw

    with Proxy(broker.port, cut_thrice) as proxy:
        listener = _run(fmq, proxy.url, "a", "b", "c")
        assert not listener.said("refused")


def _with_property(packet: Packet, extra: bytes) -> bytes:
    """A CONNACK of MQTT 5 with one property more (section 3.2.2.3)."""
    body = packet.body[:2] + bytes([packet.body[2] + len(extra)]) + packet.body[3:] + extra
    return bytes([packet.raw[0], len(body)]) + body


def test_shared_subscriptions_that_the_broker_does_not_have(broker: Broker, fmq: Processes, database: Path) -> None:
    """CONNACK says so (MQTT 5, section 3.2.2.3.13): not asked for, not ready, and the other filters are served."""
    asked: list[bytes] = []

    def watch(packet: Packet) -> bytes:
        if packet.kind == SUBSCRIBE:
            asked.append(packet.body)
        return _with_property(packet, _SHARED_SUBSCRIPTIONS_NOT_AVAILABLE) if packet.kind == _CONNACK else packet.raw

    with Proxy(broker.port, watch) as proxy:
        listener = _listen(fmq, proxy.url, "$share/g/jobs", "a")
        listener.wait_to_say("Connected, but not subscribed to $share/g/jobs (the broker has no shared subscriptions)")
        publish(broker.port, [("a", b"1")])
        wait_for(lambda: Rows(database).count("a") == 1, what="the other filter's message")
        assert "$share/g/jobs (the broker has no shared subscriptions)" in _broker_check(listener)
    assert not any(b"$share" in body for body in asked)


def test_mqtt_3_1_1_warns_of_shared_subscriptions(broker: Broker, fmq: Processes) -> None:
    """It has no way to say that there are none."""
    listener = _listen(fmq, broker.url, "$share/g/jobs", "a", FMQ_MQTT_VERSION="3.1.1")
    assert (
        "$share/g/jobs"
        in listener.wait_to_say("can't find out whether the broker has shared subscriptions")[0]["message"]
    )


def test_a_broker_without_mqtt_5_that_just_closes(broker: Broker, fmq: Processes) -> None:
    """RabbitMQ 3 ends the connection at CONNECT: the log says which setting helps."""
    with Proxy(broker.port, lambda packet: None if packet.kind == _CONNECT else packet.raw) as proxy:
        listener = _listen(fmq, proxy.url, "a")
        listener.wait_to_say("set FMQ_MQTT_VERSION=3.1.1")


def _retained(broker: Broker, *messages: tuple[str, bytes]) -> None:
    publish(broker.port, messages, retain=True)


def _restart(fmq: Processes, listener: FmqProcess, broker: Broker, version: str) -> FmqProcess:
    assert listener.terminate() == 0
    return _run(fmq, broker.url, "r/#", FMQ_MQTT_VERSION=version, FMQ_DUPLICATES="session")


@VERSIONS
def test_retained_messages_come_once(broker: Broker, fmq: Processes, database: Path, version: str) -> None:
    """Over reconnects and restarts: those that were there before, and those that came while it was subscribed.

    A broker that stops may not have read all acknowledgements, and sends again what it has not: hence the receipts.
    """
    _retained(broker, *((f"r/{number}", b"before") for number in range(200)))
    listener = _run(fmq, broker.url, "r/#", FMQ_MQTT_VERSION=version, FMQ_DUPLICATES="session")
    rows = Rows(database)
    wait_for(lambda: rows.count("r/#") == 200, what="the retained messages")
    _retained(broker, *((f"r/live/{number}", b"live") for number in range(50)))
    wait_for(lambda: rows.count("r/#") == 250, what="the live ones")
    for times in (2, 3):
        broker.stop()
        broker.start()
        listener.wait_to_say(_SUBSCRIBED, times=times)
        publish(broker.port, [("r/mark", b"%d" % times)])
        wait_for(lambda times=times: rows.holds("r/#", b"%d" % times), what="a message behind them")  # type: ignore[misc]
        _holds_each_once(rows)
    listener = _restart(fmq, listener, broker, version)
    publish(broker.port, [("r/mark", b"restarted")])
    wait_for(lambda: rows.holds("r/#", b"restarted"), what="a message behind them")
    assert rows.payloads("r/#").count(b"before") == 200


def _holds_each_once(rows: Rows) -> None:
    payloads = rows.payloads("r/#")
    assert (payloads.count(b"before"), payloads.count(b"live")) == (200, 50)


def test_a_retained_message_that_differs_is_stored(
    tmp_path: Path, ends: ExitStack, fmq: Processes, database: Path
) -> None:
    """MQTT 3.1.1: the broker may have lost the subscription for a while, and this is what is left of it."""
    broker = Broker(tmp_path / "broker")
    ends.callback(broker.stop)
    broker.start()
    _retained(broker, ("r/x", b"one"), ("r/y", b"same"))
    listener = _run(fmq, broker.url, "r/#", FMQ_MQTT_VERSION="3.1.1")
    rows = Rows(database)
    wait_for(lambda: rows.count("r/#") == 2, what="the retained messages")
    with Proxy(broker.port, _changing(b"one", b"two")) as proxy:
        assert listener.terminate() == 0
        _run(fmq, proxy.url, "r/#", FMQ_MQTT_VERSION="3.1.1")
        wait_for(lambda: rows.holds("r/#", b"two"), what="the other value")


def _changing(old: bytes, new: bytes) -> Callable[[Packet], bytes]:
    return lambda packet: packet.raw.replace(old, new) if packet.kind == PUBLISH else packet.raw
