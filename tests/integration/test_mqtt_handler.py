"""The handler ``mqtt`` and a real broker: what arrives there, and what its PUBACKs and their absence mean."""

import gc
import shutil
import socket
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from fmq.message import NO_PROPERTIES, Message, Properties
from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.environment import load
from fmq_processor.handlers.mqtt.handler import MqttHandler
from fmq_processor.handlers.mqtt.settings import MqttSettings
from support.broker import Broker, free_port, set_password
from support.certificates import Certificates
from support.proxy import PUBACK, PUBLISH, Packet, Proxy
from support.subscriber import Subscriber
from support.wait import wait_for

STORE = UUID("5a1f4c6e-0000-4000-8000-000000000001")
VERSIONS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
Make = Callable[..., MqttHandler]


def message(
    number: int = 1, payload: bytes = b"", *, topic: str = "plant/a/temp", properties: Properties = NO_PROPERTIES
) -> Message:
    return Message(number, "plant/#", topic, payload, 1_800_000_000.0, properties=properties)


def many(count: int) -> list[Message]:
    return [message(number, b"%d" % number) for number in range(count)]


def demanding(certificates: Certificates) -> list[str]:
    """A broker's lines for TLS with a certificate on either side."""
    return [
        f"cafile {certificates.ca}",
        f"certfile {certificates.server_cert}",
        f"keyfile {certificates.server_key}",
        "require_certificate true",
    ]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes handlers, and ends them."""
    with ExitStack() as stack:

        def made(url: str, **settings: Any) -> MqttHandler:  # noqa: ANN401
            chosen = {"mqtt_patience_seconds": 0, **settings}
            handler = MqttHandler(MqttSettings(mqtt_url=url, **chosen), CollectorRegistry())
            stack.callback(handler.teardown)
            handler.know_store(STORE)
            return handler

        yield made


def metric(handler: MqttHandler, name: str) -> float:
    (family,) = getattr(handler._metrics, name).collect()
    return float(next(one.value for one in family.samples if not one.name.endswith("_created")))


class TestArrival:
    def test_what_arrives(self, broker: Broker, make: Make) -> None:
        """Topic by the template, payload to the byte, and every MQTT 5 property with the mark behind the user's own."""
        kept = Properties(
            payload_format_indicator=0,
            content_type="application/x",
            response_topic="re/ply",
            correlation_data=b"\x00\xff",
            user_properties=(("a", "1"), ("a", "2")),
        )
        with Subscriber(broker.port) as subscriber:
            handler = make(broker.url, mqtt_topic="site-7/{2}/{topic}")
            assert handler.handle([message(1, b"\x00\xff", properties=kept), message(2, b"")]) == [None, None]
            wait_for(lambda: len(subscriber.messages) == 2, what="both")
        first, second = subscriber.messages
        assert (first.topic, first.payload, first.qos, first.retain) == ("site-7/a/plant/a/temp", b"\x00\xff", 1, False)
        told: Any = first.properties
        assert (told.PayloadFormatIndicator, told.ContentType, told.ResponseTopic, told.CorrelationData) == (
            0,
            "application/x",
            "re/ply",
            b"\x00\xff",
        )
        assert told.UserProperty == [("a", "1"), ("a", "2"), ("fmq-forwarded-from", f"{STORE}:plant/#")]
        assert second.payload == b""

    @pytest.mark.parametrize(("retain", "expected"), [("keep", 1), ("never", 0)])
    def test_retain(self, broker: Broker, make: Make, retain: str, expected: int) -> None:
        """The flag goes on only if that is wanted: then a later subscriber gets the message."""
        one = Message(1, "plant/#", "plant/a", b"x", 1_800_000_000.0, retain=True)
        make(broker.url, mqtt_retain=retain).handle([one])
        with Subscriber(broker.port) as subscriber:
            make(broker.url, mqtt_topic="end").handle([message()])
            wait_for(lambda: any(got.topic == "end" for got in subscriber.messages), what="the last one")
        assert len(subscriber.messages) == 1 + expected

    @VERSIONS
    def test_many(self, broker: Broker, make: Make, protocol: str) -> None:
        """A batch larger than the window arrives once and in order, and each message is done."""
        with Subscriber(broker.port) as subscriber:
            handler = make(broker.url, mqtt_protocol=protocol, mqtt_inflight=50)
            assert handler.handle(many(2_000)) == [None] * 2_000
            wait_for(lambda: len(subscriber.messages) >= 2_000, what="all")
        assert subscriber.payloads == [b"%d" % number for number in range(2_000)]
        assert metric(handler, "acknowledged") == 2_000
        assert metric(handler, "connections") == 1

    def test_no_batch_waits_for_a_delayed_confirmation(self, broker: Broker, make: Make) -> None:
        """Mosquitto writes each PUBACK on its own, so its kernel holds most of them until ours has confirmed the first one.

        Left alone, ours takes at least 40 ms for that, in every batch.
        """
        handler = make(broker.url)
        times = []
        for _ in range(20):
            began = time.monotonic()
            assert handler.handle(many(20)) == [None] * 20
            times.append(time.monotonic() - began)
        assert min(times[-10:]) < 0.03

    @pytest.mark.parametrize(("asked", "most"), [(1_000, 20), (7, 7)])
    def test_the_window(self, tmp_path: Path, make: Make, asked: int, most: int) -> None:
        """Never more than the smaller of our window and the broker's Receive Maximum wait for their PUBACK."""
        waiting = highest = 0

        def watch(packet: Packet) -> bytes:
            nonlocal waiting, highest
            if packet.kind in (PUBLISH, PUBACK):
                waiting += 1 if packet.kind == PUBLISH else -1
                highest = max(highest, waiting)
            return packet.raw

        broker = Broker(tmp_path / "narrow")
        broker.configure(["max_inflight_messages 20"])
        with broker, Proxy(broker.port, watch) as proxy:
            assert make(proxy.url, mqtt_inflight=asked).handle(many(500)) == [None] * 500
        assert 1 < highest <= most


class TestPubacks:
    def test_done_only_with_one(self, broker: Broker, make: Make) -> None:
        """A message whose PUBACK never comes is not done, though the broker has it; the others are."""
        seen = 0

        def swallow_the_third(packet: Packet) -> bytes:
            nonlocal seen
            seen += packet.kind == PUBACK
            return b"" if packet.kind == PUBACK and seen == 3 else packet.raw

        with Proxy(broker.port, swallow_the_third) as proxy:
            handler = make(proxy.url, mqtt_ack_seconds=0.3)
            results = handler.handle(many(5))
        assert [type(one) for one in results] == [type(None), type(None), Unavailable, type(None), type(None)]
        assert "it sent no PUBACK for 0.3 s" in str(results[2])
        assert metric(handler, "unanswered") == 1

    def test_refused_by_the_broker(self, tmp_path: Path, make: Make) -> None:
        """A PUBACK with a failure (MQTT 5) is a failure of its message alone."""
        (tmp_path / "acl").write_text("topic readwrite plant/#\n", encoding="utf-8")
        with Broker(tmp_path / "strict", [f"acl_file {tmp_path / 'acl'}"]) as broker:
            handler = make(broker.url)
            results = handler.handle([message(1), message(2, topic="secret/x"), message(3)])
        assert results[0] is results[2] is None
        assert isinstance(results[1], Retry)
        assert not isinstance(results[1], Unavailable)
        assert "Not authorized (135)" in str(results[1])
        assert (metric(handler, "acknowledged"), metric(handler, "refused")) == (2, 1)

    @VERSIONS
    def test_too_large_for_the_broker(self, tmp_path: Path, make: Make, protocol: str) -> None:
        """Only the large one fails: MQTT 5 tells the limit; with 3.1.1 it is found by the connections that it ends."""
        with (
            Broker(tmp_path / "small", ["max_packet_size 2000"]) as broker,
            Subscriber(broker.port) as subscriber,
        ):
            handler = make(broker.url, mqtt_protocol=protocol, mqtt_patience_seconds=20)
            batch = many(40)
            batch[17] = message(17, b"x" * 2_001)
            results = handler.handle(batch)
            wait_for(lambda: len(set(subscriber.payloads)) == 39, what="the others")
        failed = {number: result for number, result in enumerate(results) if result is not None}
        assert list(failed) == [17]
        if protocol == "5":
            assert isinstance(failed[17], Reject)
            assert "bytes exceed the broker's maximum of 2000" in str(failed[17])
        else:
            assert isinstance(failed[17], Retry)
            assert not isinstance(failed[17], Unavailable)
            assert "while nothing else was in flight" in str(failed[17])


class TestConnection:
    def test_cut_again_and_again(self, broker: Broker, make: Make) -> None:
        """Whatever is cut and when, every message arrives at least once, and duplicates are no more than the unanswered."""
        seen = 0

        def cut_now_and_then(packet: Packet) -> bytes | None:
            nonlocal seen
            counts = packet.kind in (PUBLISH, PUBACK)
            seen += counts
            return None if counts and seen % 701 == 0 else packet.raw

        with Subscriber(broker.port) as subscriber, Proxy(broker.port, cut_now_and_then) as proxy:
            handler = make(proxy.url, mqtt_patience_seconds=30)
            results = handler.handle(many(1_000))
            assert results == [None] * 1_000
            wait_for(lambda: len(set(subscriber.payloads)) == 1_000, what="all")
        counts = Counter(subscriber.payloads)
        assert sum(counts.values()) - len(counts) <= metric(handler, "unanswered")
        assert metric(handler, "connections") > 1

    def test_a_connection_lost_between_batches(self, broker: Broker, make: Make) -> None:
        """It costs nothing: the next batch goes over a new one."""
        handler = make(broker.url)
        assert handler.handle([message(1)]) == [None]
        broker.stop()
        wait_for(lambda: metric(handler, "connected") == 0, what="the loss to be noticed")
        broker.start()
        assert handler.handle([message(2)]) == [None]

    def test_a_broker_that_hangs(self, make: Make) -> None:
        """One that takes nothing more off the wire holds a batch up for as long as a PUBACK may take, not forever."""
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer_only_connect() -> None:
                taken, _ = server.accept()
                taken.recv(1_000)
                taken.sendall(bytes.fromhex("2003000000"))  # CONNACK without properties
                hung.append(taken)

            hung: list[socket.socket] = []
            threading.Thread(target=answer_only_connect).start()
            handler = make(f"mqtt://127.0.0.1:{server.getsockname()[1]}", mqtt_ack_seconds=0.5)
            began = time.monotonic()
            results = handler.handle([message(number, b"x" * 4_000_000) for number in range(5)])
            assert time.monotonic() - began < 10
            hung[0].close()
        assert all(isinstance(one, Unavailable) for one in results)
        assert "it sent no PUBACK for 0.5 s" in str(results[0])

    def test_no_broker(self, make: Make) -> None:
        """That is the broker's fault, not the messages', and told in words."""
        (result,) = make(f"mqtt://127.0.0.1:{free_port()}").handle([message()])
        assert isinstance(result, Unavailable)
        assert "was not reached: Connection refused" in str(result)

    @VERSIONS
    def test_a_rotated_password(self, tmp_path: Path, protocol: str) -> None:
        """The password's file is read for each connection: a refusal lasts until it has the new one, and no longer."""
        file, users = tmp_path / "password", tmp_path / "users"
        file.write_text("first\n")
        set_password(users, "ann", "first")
        with Broker(tmp_path / "closed", [f"password_file {users}"], anonymous=False) as broker:
            environ = {
                "FMQ_MQTT_URL": broker.url,
                "FMQ_MQTT_USERNAME": "ann",
                "FMQ_MQTT_PASSWORD_FILE": str(file),
                "FMQ_MQTT_PROTOCOL": protocol,
                "FMQ_MQTT_PATIENCE_SECONDS": "0",
            }
            handler = MqttHandler(load(MqttSettings, {}, environ), CollectorRegistry())
            handler.know_store(STORE)
            assert handler.handle([message(1)]) == [None]
            set_password(users, "ann", "second")
            broker.stop()
            broker.start()
            refused = [handler.handle([message(2)])[0] for _ in range(2)][-1]
            assert isinstance(refused, Unavailable)
            assert "it refused the connection" in str(refused)
            (tmp_path / "new").write_text("second\n")
            (tmp_path / "new").replace(file)
            assert handler.handle([message(2)]) == [None]
            handler.teardown()

    def test_rotated_certificates(self, tmp_path: Path) -> None:
        """A broker with certificates of another CA, also for its clients, is reached once the files are the new ones."""
        old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
        with Broker(tmp_path / "tls", demanding(old), scheme="mqtts") as broker:
            settings = MqttSettings(
                mqtt_url=broker.url,
                mqtt_patience_seconds=0,
                mqtt_tls_ca_file=old.ca,
                mqtt_tls_cert_file=old.client_cert,
                mqtt_tls_key_file=old.client_key,
            )
            handler = MqttHandler(settings, CollectorRegistry())
            handler.know_store(STORE)
            assert handler.handle([message(1)]) == [None]
            broker.stop()
            broker.configure(demanding(new))
            broker.start()
            refused = [handler.handle([message(2)])[0] for _ in range(2)][-1]
            assert isinstance(refused, Unavailable)
            assert "TLS" in str(refused)
            del refused
            with warnings.catch_warnings(action="ignore", category=ResourceWarning):
                gc.collect()  # paho closes no socket whose handshake fails
            for name in ("ca.pem", "client.pem", "client.key"):
                shutil.copy(tmp_path / "new" / name, tmp_path / "old" / name)
            assert handler.handle([message(2)]) == [None]
            handler.teardown()

    @VERSIONS
    def test_a_wrong_password(self, tmp_path: Path, make: Make, protocol: str) -> None:
        """The refusal is reported, the password is not."""
        with Broker(tmp_path / "closed", anonymous=False) as broker:
            handler = make(broker.url, mqtt_username="me", mqtt_password=SecretStr("hush"), mqtt_protocol=protocol)
            (result,) = handler.handle([message()])
        assert isinstance(result, Unavailable)
        assert "it refused the connection" in str(result)
        assert "hush" not in str(result)
