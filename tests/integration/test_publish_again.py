"""Publishing stored messages again through a real Mosquitto: what arrives is what came."""

import gc
import hashlib
import warnings
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from fmq.message import Incoming, Properties
from fmq.service.environment import load
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.answers.messages import Publication
from fmq_web.http.problems import Problem
from fmq_web.operations.publisher import Publisher
from fmq_web.settings import WebSettings
from support.broker import Broker, set_password
from support.certificates import Certificates
from support.subscriber import Subscriber
from support.wait import wait_for

QUEUE = "#"
RECEIVED_AT = 1_800_000_000.0
MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/q.db", StoreOptions()) as made:
        made.declare(QUEUE)
        yield made


def put(store: Store, topic: str, payload: bytes = b"21.5", **fields: Any) -> int:  # noqa: ANN401
    """The id of a new message."""
    store.put([Incoming(QUEUE, topic, payload, RECEIVED_AT, **fields)])
    return int(store.heads(QUEUE, Selection(State.ANY), limit=1).heads[0].id)


def publish(store: Store, url: str, number: int, *, retain: bool = False, **settings: Any) -> Publication:  # noqa: ANN401
    read = WebSettings(broker_url=url, **settings)
    assert read.broker is not None
    return Publisher(read, read.broker).publish(store, "alice", QUEUE, number, retain=retain)


def test_what_arrives(broker: Broker, store: Store) -> None:
    """Each property that a message keeps, and a whole Message Expiry Interval although the message is old."""
    kept = Properties(
        payload_format_indicator=0,
        message_expiry_interval=100,
        content_type="application/x",
        response_topic="re/ply",
        correlation_data=b"\x00\xff",
        user_properties=(("a", "1"), ("a", "2"), ("", "\u202e")),
    )
    with Subscriber(broker.port) as subscriber:
        done = publish(store, broker.url, put(store, "plant/a", b"\x00\xff", retain=True, properties=kept))
        (arrived,) = wait_for(lambda: subscriber.messages, what="it")
    assert (arrived.topic, arrived.payload, arrived.retain) == ("plant/a", b"\x00\xff", False)
    told: Any = arrived.properties
    assert (told.PayloadFormatIndicator, told.ContentType, told.ResponseTopic, told.CorrelationData) == (
        0,
        "application/x",
        "re/ply",
        b"\x00\xff",
    )
    assert told.UserProperty == [("a", "1"), ("a", "2"), ("", "\u202e")]
    assert 98 <= told.MessageExpiryInterval <= 100
    assert not done.nobody_subscribes


@pytest.mark.parametrize(("qos", "used"), [(0, 1), (1, 1), (2, 2)])
def test_its_qos(broker: Broker, store: Store, qos: int, used: int) -> None:
    """At least 1, since nobody acknowledges QoS 0."""
    assert publish(store, broker.url, put(store, "plant/a", qos=qos)).qos == used


@pytest.mark.parametrize("retain", [True, False])
def test_retained_if_wanted(broker: Broker, store: Store, *, retain: bool) -> None:
    """Then the broker has it for later subscribers; and that nobody subscribes yet is said."""
    assert publish(store, broker.url, put(store, "plant/a"), retain=retain).nobody_subscribes
    with Subscriber(broker.port) as subscriber:
        publish(store, broker.url, put(store, "end"))
        wait_for(lambda: any(one.topic == "end" for one in subscriber.messages), what="the last one")
    assert [one.topic for one in subscriber.messages if one.topic != "end"] == ["plant/a"] * retain


def test_hostile_topics(broker: Broker, store: Store) -> None:
    """Whatever a topic may be arrives as it was, once."""
    topics = [
        "<script>alert(1)</script>",
        "a b/'\"&?=%2F\\",
        "/",
        "//",
        "{{ 7*7 }}/${x}",
        "\u202eevil\u200b/\ufeff",
        "\u65e5\u672c/\U0001f4a5",
        "x" * 65_535,
    ]
    with Subscriber(broker.port) as subscriber:
        for topic in topics:
            publish(store, broker.url, put(store, topic))
        publish(store, broker.url, put(store, "end"))
        wait_for(lambda: any(one.topic == "end" for one in subscriber.messages), what="the last one")
    assert [one.topic for one in subscriber.messages] == [*topics, "end"]


def test_a_large_payload(tmp_path: Path, store: Store) -> None:
    """64 MiB of any bytes, bit for bit."""
    payload = hashlib.shake_256(b"large").digest(64 * MIB)
    with (
        Broker(tmp_path / "broker", ["max_packet_size 80000000"]) as broker,
        Subscriber(broker.port, "large") as subscriber,
    ):
        publish(store, broker.url, put(store, "large", payload))
        (arrived,) = wait_for(lambda: subscriber.messages, 30, what="it")
    assert arrived.payload == payload


def test_a_message_that_is_too_large_for_the_broker(tmp_path: Path, store: Store) -> None:
    """It is not sent, since the broker would end the connection."""
    with Broker(tmp_path / "broker", ["max_packet_size 1000"]) as broker:
        number = put(store, "large", bytes(2_000))
        with pytest.raises(Problem, match="the broker takes 1,000 at most"):
            publish(store, broker.url, number)


def test_without_properties(broker: Broker, store: Store) -> None:
    """MQTT 3.1.1 has none, and the answer says so."""
    number = put(store, "plant/a", properties=Properties(content_type="x"))
    with Subscriber(broker.port) as subscriber:
        assert not publish(store, broker.url, number, mqtt_version="3.1.1").with_properties
        (arrived,) = wait_for(lambda: subscriber.messages, what="it")
    assert arrived.payload == b"21.5"


def test_a_user_whose_rights_end_and_whose_password_changes(tmp_path: Path, store: Store) -> None:
    """A topic that its access rules forbid is refused in words. A wrong password is said; its file is read each time."""
    users, rules, secret = tmp_path / "users", tmp_path / "rules", tmp_path / "secret"
    rules.write_text("user fmq\ntopic write open/#\n")
    secret.write_text("first\n")
    set_password(users, "fmq", "first")
    with Broker(tmp_path / "broker", [f"password_file {users}", f"acl_file {rules}"], anonymous=False) as broker:
        given = {"broker_url": broker.url, "broker_username": "fmq"}
        settings = load(WebSettings, given, {"FMQ_BROKER_PASSWORD_FILE": str(secret)})
        assert settings.broker is not None
        by = Publisher(settings, settings.broker)

        def publish_on(topic: str) -> Publication:
            return by.publish(store, "alice", QUEUE, put(store, topic), retain=False)

        publish_on("open/a")
        with pytest.raises(Problem, match="access rules do not let this user publish on this topic") as refused:
            publish_on("closed/a")
        assert refused.value.status == HTTPStatus.CONFLICT
        secret.write_text("another\n")
        with pytest.raises(Problem, match=r"Nothing was published: .*Not authorized") as wrong:
            publish_on("open/a")
        assert "another" not in wrong.value.detail
        set_password(users, "fmq", "another")
        broker.reload()
        wait_for(lambda: _goes(publish_on), what="the new password")


def _goes(publish_on: Callable[[str], Publication]) -> bool:
    try:
        publish_on("open/a")
    except Problem:
        return False
    return True


def test_over_tls(tmp_path: Path, store: Store) -> None:
    """The broker's certificate is verified by the file of FMQ_TLS_CA_FILE."""
    certificates = Certificates(tmp_path / "certificates")
    lines = [f"certfile {certificates.server_cert}", f"keyfile {certificates.server_key}"]
    with Broker(tmp_path / "broker", lines, scheme="mqtts") as broker:
        assert publish(store, broker.url, put(store, "a"), tls_ca_file=certificates.ca).topic == "a"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            with pytest.raises(Problem, match="its CA is unknown"):
                publish(store, broker.url, put(store, "a"))
            gc.collect()  # paho closes no socket whose handshake fails
