"""The session in this process: what it asks of the broker, and bytes that arrive in unusual portions."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from fmq.outcome import Done
from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq_listener.mqtt.departure import LeaveInDoubt
from fmq_listener.mqtt.session import ConnectionFailed, ConnectionLost, Session
from fmq_listener.settings import ListenerSettings
from support.broker import Broker, publish
from support.clock import FakeClock
from support.processes import Processes
from support.proxy import SUBACK, SUBSCRIBE, UNSUBACK, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

_CONNECT, _PUBCOMP = 1, 7
_CONNACK, _SUBACK = b"\x20\x02\x00\x00", b"\x90\x03"


@pytest.fixture
def shutdown() -> Iterator[Shutdown]:
    made = Shutdown()
    yield made
    made.close()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/q.db") as opened:
        yield opened


def _session(queue: Store, shutdown: Shutdown, **settings: object) -> Session:
    made = ListenerSettings.model_validate({"topics": ("w",), "reconnect_max_seconds": 1} | settings)
    return Session(made, client_id="one", store=queue, shutdown=shutdown)


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body)]) + body


def _publish_packet(packet_id: int, payload: bytes) -> bytes:
    return _packet(0x32, b"\x00\x01w" + packet_id.to_bytes(2) + payload)


class _Script:
    """A broker that answers CONNECT and SUBSCRIBE and then sends ``portions``, each with one call (the first with SUBACK)."""

    def __init__(self, portions: list[bytes], context: ssl.SSLContext | None = None) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(10)
        self.port: int = self._server.getsockname()[1]
        self._portions = portions
        self._context = context
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        plain, _ = self._server.accept()
        with self._context.wrap_socket(plain, server_side=True) if self._context else plain as peer:
            peer.settimeout(10)
            peer.recv(4096)
            peer.sendall(_CONNACK)
            subscribe = peer.recv(4096)
            suback = _SUBACK + subscribe[2:4] + b"\x01"
            for portion in [suback + self._portions[0], *self._portions[1:]]:
                peer.sendall(portion)
            self.done.wait(10)

    def close(self) -> None:
        self.done.set()
        self._thread.join(10)
        self._server.close()


def _collect(session: Session, count: int) -> list[bytes]:
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(one.payload for one in session.poll(0.5).messages)
        return len(found) >= count

    wait_for(enough, 3, what=f"{count} messages")
    return found


def test_packets_of_one_tls_record_are_all_read(queue: Store, shutdown: Shutdown, tmp_path: Path) -> None:
    """With a batch of one, the rest must come at once: select does not see what the TLS layer has decrypted already."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    record = b"".join(_publish_packet(number, b"%d" % number) for number in range(1, 21))
    script = _Script([record], context)
    session = _session(
        queue,
        shutdown,
        broker_url=f"mqtts://127.0.0.1:{script.port}",
        tls_ca_file=tmp_path / "ca.pem",
        mqtt_version="3.1.1",
        inflight=1,
    )
    session.connect()
    assert _collect(session, 20) == [b"%d" % number for number in range(1, 21)]
    session.close(1)
    script.close()


def test_a_flood_does_not_keep_the_subscription_from_being_noticed(queue: Store, shutdown: Shutdown) -> None:
    """A batch at every turn leaves no idle moment: the broker's answer counts all the same."""
    flood = b"".join(_publish_packet(number, b"x") for number in range(1, 101))
    script = _Script([flood])
    session = _session(queue, shutdown, broker_url=f"mqtt://127.0.0.1:{script.port}", mqtt_version="3.1.1", inflight=1)
    session.connect()
    turns = 0
    while not session.subscribed:
        turns += 1
        session.poll(1)
    assert turns < 10
    assert session.poll(1).messages
    session.close(1)
    script.close()


def test_packets_may_be_split_anywhere(queue: Store, shutdown: Shutdown) -> None:
    """A packet that arrives byte by byte is one message; nothing is handed over before its last byte."""
    stream = b"".join(_publish_packet(number, b"%d" % number) for number in range(1, 6))
    script = _Script([bytes([one]) for one in stream])
    session = _session(queue, shutdown, broker_url=f"mqtt://127.0.0.1:{script.port}", mqtt_version="3.1.1")
    session.connect()
    assert _collect(session, 5) == [b"1", b"2", b"3", b"4", b"5"]
    session.close(1)
    script.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x00",
        b"\x30\xff\xff\xff\xff\x7f",
        b"\x32\x03\x00\x00\x00",
        b"\x32\x02\xff\xff",
        b"\x36\x05\x00\x01w\x00\x01",
    ],
    ids=["reserved type", "endless length", "empty topic", "topic beyond the packet", "QoS 3"],
)
def test_a_malformed_packet_ends_the_connection_and_nothing_else(
    queue: Store, shutdown: Shutdown, nonsense: bytes
) -> None:
    """What came before it is handed over, then the connection is reported lost."""
    script = _Script([_publish_packet(1, b"good") + nonsense])
    session = _session(queue, shutdown, broker_url=f"mqtt://127.0.0.1:{script.port}", mqtt_version="3.1.1")
    session.connect()
    assert _collect(session, 1) == [b"good"]
    with pytest.raises(ConnectionLost):
        wait_for(lambda: session.poll(0.1) and False, 3)
    script.close()


@pytest.mark.parametrize(("version", "level"), [("5", 5), ("3.1.1", 4)])
def test_what_it_asks_of_the_broker_when_it_connects(
    broker: Broker, queue: Store, shutdown: Shutdown, version: str, level: int
) -> None:
    """A session that stays, on every connection; with MQTT 5 also its expiry and the most messages in flight."""
    connects: list[bytes] = []

    def watch(packet: Packet) -> bytes:
        if packet.kind == _CONNECT:
            connects.append(packet.body)
        return packet.raw

    with Proxy(broker.port, watch) as proxy:
        session = _session(
            queue,
            shutdown,
            broker_url=proxy.url,
            mqtt_version=version,
            inflight=777,
            session_expiry_seconds=86_400,
            keepalive_seconds=33,
        )
        for _ in range(2):
            session.connect()
            wait_for(lambda: (session.poll(0.1), session.subscribed)[1], what="the subscription")
            session.close(5)
    assert len(connects) == 2
    for body in connects:
        assert body[:10] == b"\x00\x04MQTT" + bytes([level, 0]) + (33).to_bytes(2)
        if version == "5":
            assert b"\x11" + (86_400).to_bytes(4) in body
            assert b"\x21" + (777).to_bytes(2) in body


def test_a_shutdown_ends_a_wait_for_the_broker(queue: Store, shutdown: Shutdown) -> None:
    """A broker that takes the connection and stays silent does not hold the end up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = _session(queue, shutdown, broker_url=f"mqtt://127.0.0.1:{silent.getsockname()[1]}")
        shutdown.request()
        with pytest.raises(ConnectionFailed):
            session.connect()


def test_a_refused_subscription_is_asked_for_again(broker: Broker, queue: Store, shutdown: Shutdown) -> None:
    """After a minute on the same connection; then all is subscribed."""
    clock = FakeClock()
    asked: list[bytes] = []

    def refuse_once(packet: Packet) -> bytes:
        if packet.kind == SUBSCRIBE:
            asked.append(packet.body)
        if packet.kind == SUBACK and len(asked) == 1:
            return packet.raw[:-1] + b"\x87"
        return packet.raw

    with Proxy(broker.port, refuse_once) as proxy:
        made = ListenerSettings.model_validate({"topics": ("w",), "broker_url": proxy.url})
        session = Session(made, client_id="one", store=queue, shutdown=shutdown, clock=clock)
        session.connect()
        for _ in range(3):
            session.poll(0.2)
        assert not session.subscribed
        assert len(asked) == 1
        clock.advance(61)
        wait_for(lambda: (session.poll(0.1), session.subscribed)[1], what="the subscription")
        assert len(asked) == 2
        session.close(5)


def test_a_broker_that_owes_an_answer_is_left(broker: Broker, queue: Store, shutdown: Shutdown) -> None:
    """A SUBSCRIBE without SUBACK is not waited for without end."""
    clock = FakeClock()
    with Proxy(broker.port, lambda packet: b"" if packet.kind == SUBACK else packet.raw) as proxy:
        made = ListenerSettings.model_validate({"topics": ("w",), "broker_url": proxy.url})
        session = Session(made, client_id="one", store=queue, shutdown=shutdown, clock=clock)
        session.connect()
        session.poll(0.1)
        clock.advance(31)
        with pytest.raises(ConnectionLost, match="did not answer SUBSCRIBE"):
            session.poll(0.1)


def test_a_filter_that_is_never_answered_does_not_end_each_connection(
    broker: Broker, queue: Store, shutdown: Shutdown
) -> None:
    """After a few connections it counts as refused, and the other filters are served without interruption."""
    clock = FakeClock()
    silent: list[bytes] = []

    def drop(packet: Packet) -> bytes:
        if packet.kind == SUBSCRIBE and b"silent" in packet.body:
            silent[:] = [packet.body[:2]]
        return b"" if packet.kind == SUBACK and packet.body[:2] in silent else packet.raw

    with Proxy(broker.port, drop) as proxy:
        made = ListenerSettings.model_validate({"topics": ("silent", "w", "x"), "broker_url": proxy.url})
        session = Session(made, client_id="one", store=queue, shutdown=shutdown, clock=clock)

        def others_are_held() -> bool:
            session.poll(0.1)
            return session.holds("w") and session.holds("x")

        for _ in range(2):
            session.connect()
            wait_for(others_are_held, what="the others")
            session.poll(0.1)
            clock.advance(31)
            with pytest.raises(ConnectionLost, match="did not answer SUBSCRIBE"):
                session.poll(0.1)
        session.connect()
        wait_for(others_are_held, what="the others")
        session.poll(0.1)
        clock.advance(31)
        session.poll(0.1)
        assert session.problem == "not subscribed to silent (no answer in time)"
        session.close(5)


@pytest.mark.parametrize("leave", [True, False])
def test_a_broker_that_does_not_answer_unsubscribe(
    broker: Broker, queue: Store, shutdown: Shutdown, caplog: pytest.LogCaptureFixture, *, leave: bool
) -> None:
    """A removed filter: a warning, and everything goes on. Leaving: in doubt, so the session stays (rumqttd is one)."""
    clock = FakeClock()
    with Proxy(broker.port, lambda packet: b"" if packet.kind == UNSUBACK else packet.raw) as proxy:

        def session(*topics: str, leave: bool = False) -> Session:
            made = ListenerSettings.model_validate({"topics": topics, "broker_url": proxy.url})
            return Session(made, client_id="one", store=queue, shutdown=shutdown, clock=clock, leave=leave)

        first = session("w", "old")
        first.connect()
        wait_for(lambda: (first.poll(0.1), first.subscribed)[1], what="the subscriptions")
        first.close(5)
        second = session("w", leave=leave)
        second.connect()

        def turn() -> bool:
            second.poll(0.01)
            clock.advance(0.25)
            return "did not confirm" in caplog.text

        if leave:
            with pytest.raises(LeaveInDoubt, match="no answer to UNSUBSCRIBE"):
                wait_for(lambda: turn() and False, what="the doubt")
            assert not second.has_left
        else:
            wait_for(turn, what="the warning")
            assert second.subscribed
            publish(broker.port, [("w", b"1")])
            wait_for(lambda: second.poll(0.1).messages, what="a message")
        second.close(5)


def test_messages_of_an_older_qos_2_subscription_are_completed(broker: Broker, fmq: Processes, database: Path) -> None:
    """A session that another program made at QoS 2 is taken over: what it had queued is stored and does not block."""
    other = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fixed", clean_session=False)
    subscribed = threading.Event()
    other.on_subscribe = lambda *_: subscribed.set()
    other.connect("127.0.0.1", broker.port)
    other.loop_start()
    other.subscribe("w", qos=2)
    assert subscribed.wait(10)
    other.disconnect()
    other.loop_stop()
    publish(broker.port, [("w", b"2")], qos=2)
    sent: list[int] = []

    def watch(packet: Packet) -> bytes:
        if packet.to_broker:
            sent.append(packet.kind)
        return packet.raw

    with Proxy(broker.port, watch) as proxy:
        listener = fmq.start("listen", "w", FMQ_BROKER_URL=proxy.url, FMQ_CLIENT_ID="fixed", FMQ_MQTT_VERSION="3.1.1")
        listener.wait_to_say("Connected and subscribed successfully")
        publish(broker.port, [("w", b"1")])
        rows = Rows(database)
        wait_for(lambda: rows.count("w") == 2, what="both messages")
        assert sorted(rows.payloads("w")) == [b"1", b"2"]
        assert listener.terminate() == 0
        assert not listener.said("lost")
    assert sent.count(_PUBCOMP) == 1


def test_handled_messages_are_deleted_as_retention_says(broker: Broker, fmq: Processes, database: Path) -> None:
    """With 0 seconds they go as soon as they are handled; pending ones stay."""
    listener = fmq.start("listen", "w", FMQ_BROKER_URL=broker.url, FMQ_RETENTION_SECONDS=0)
    listener.wait_to_say("Connected and subscribed successfully")
    publish(broker.port, [("w", b"1"), ("w", b"2")])
    rows = Rows(database)
    wait_for(lambda: rows.count("w") == 2, what="both messages")
    with open_store(f"sqlite:///{database}") as queue:
        claims = queue.claim("w", 1, lease=60)
        queue.settle((claim, Done()) for claim in claims)
    wait_for(lambda: rows.payloads("w") == [b"2"], what="the handled one to go")
