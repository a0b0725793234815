"""Brokers in clouds: the demands of their documents, met by all that connects (docs/brokers.md). On imitations, in this process."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from fmq.finding import Finding
from fmq.message import Message
from fmq.service.environment import load
from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq_listener.doctor import check_broker
from fmq_listener.mqtt.session import ConnectionFailed, ConnectionLost, Session
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers.mqtt.handler import MqttHandler
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_web.operations.publisher import Publisher
from fmq_web.settings import WebSettings
from support import clouds
from support.cloud import HOST, Cloud, Demands
from support.processes import Processes
from support.scripted_broker import CONNACK, CONNECT, DISCONNECT, Connection, ScriptedBroker, packet, text
from support.wait import wait_for

_WAITING = tuple((f"plant/{number}", b"%d" % number) for number in range(12))
_FILTERS = tuple(topic for topic, _ in _WAITING)
Environ = dict[str, str]
# A socket whose handshake fails is closed by paho only when Python finds that nobody uses it.
_LEAKS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _certificate(cloud: Cloud) -> Environ:
    return {"TLS_CERT_FILE": str(cloud.cert), "TLS_KEY_FILE": str(cloud.key)}


def _password(_cloud: Cloud) -> Environ:
    return {"USERNAME": "fmq", "PASSWORD": "secret"}


PROFILES: dict[str, tuple[Demands, Callable[[Cloud], Environ]]] = {
    "aws, certificate": (clouds.AWS_CERTIFICATE, lambda cloud: _certificate(cloud) | {"TLS_ALPN": "x-amzn-mqtt-ca"}),
    "aws, authorizer": (
        clouds.AWS_AUTHORIZER,
        lambda _: {"USERNAME": "device", "QUERY": clouds.AUTHORIZER, "TLS_ALPN": "mqtt"},
    ),
    "aws, presigned": (clouds.AWS_PRESIGNED, lambda _: {"URL": f"wss://127.0.0.1/mqtt?{clouds.QUERY}"}),
    "aws, headers": (
        clouds.AWS_HEADERS,
        lambda _: {
            "URL": "wss://127.0.0.1",
            "HEADERS": f'{{"token": "{clouds.TOKEN}", "x-amz-customauthorizer-name": "mine"}}',
        },
    ),
    "hivemq": (clouds.HIVEMQ, _password),
    "emqx serverless": (clouds.EMQX_SERVERLESS, _password),
    "azure": (clouds.AZURE, lambda cloud: _certificate(cloud) | {"USERNAME": "fmq-device"}),
}
_OLDER = [(name, "3.1.1") for name in ("aws, certificate", "aws, authorizer", "emqx serverless", "azure")]


def _environ(cloud: Cloud, chosen: Environ, *, handler: bool = False) -> Environ:
    """The variables that lead to ``cloud``, by the names of the listener or of the handler mqtt."""
    url = chosen.get("URL", "mqtts://127.0.0.1").replace("127.0.0.1", f"127.0.0.1:{cloud.port}")
    values = {"TLS_CA_FILE": str(cloud.ca), "TLS_SERVER_NAME": HOST} | chosen | {"URL": url}
    if handler:
        return {"FMQ_CONFIG": os.devnull} | {f"FMQ_MQTT_{name}": value for name, value in values.items()}
    return {"FMQ_CONFIG": os.devnull} | {
        f"FMQ_{name}" if name.startswith("TLS") else f"FMQ_BROKER_{name}": value for name, value in values.items()
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new one."""
    with open_store(f"sqlite:///{tmp_path}/q.db") as opened:
        yield opened


@contextmanager
def _session(environ: Environ, store: Store, topics: Sequence[str] = ("plant/#",)) -> Iterator[Session]:
    settings = load(ListenerSettings, {"topics": tuple(topics)}, environ)
    with closing(Shutdown()) as shutdown:
        session = Session(settings, client_id="fmq-0123456789abcdef012", store=store, shutdown=shutdown)
        try:
            yield session
        finally:
            session.close(1)


def _take(session: Session, count: int) -> list[str]:
    """The topics of the next ``count`` messages, acknowledged."""
    topics: list[str] = []

    def enough() -> bool:
        batch = session.poll(0.2)
        topics.extend(one.topic for one in batch.messages)
        session.acknowledge(batch)
        return len(topics) >= count

    wait_for(enough, what=f"{count} messages")
    return topics


@pytest.mark.parametrize(("name", "version"), [*((name, "5") for name in PROFILES), *_OLDER])
def test_the_listener_meets_every_demand(name: str, version: str, tmp_path: Path, store: Store) -> None:
    """It connects, subscribes within the limits, and takes and acknowledges what waits; nothing ends the connection."""
    demands, chosen = PROFILES[name]
    filters = _FILTERS[:10] if demands.filters == 10 else _FILTERS
    waiting = _WAITING[: len(filters)]
    with (
        Cloud(tmp_path, demands, waiting=waiting) as cloud,
        _session(_environ(cloud, chosen(cloud)) | {"FMQ_MQTT_VERSION": version}, store, filters) as session,
    ):
        session.connect()
        assert _take(session, len(waiting)) == [topic for topic, _ in waiting]
        wait_for(lambda: len(cloud.seen.acknowledged) == len(waiting), what="acknowledgements")
        wait_for(lambda: not session.poll(0.1) and session.subscribed, what="all subscriptions")
    assert cloud.seen.broken == []


@pytest.mark.parametrize("name", PROFILES)
def test_the_handler_meets_every_demand(name: str, tmp_path: Path) -> None:
    """It publishes with QoS 1 what fits; what does not fit is rejected with the reason, and costs no connection."""
    demands, chosen = PROFILES[name]
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, chosen(cloud), handler=True) | {"FMQ_MQTT_RETAIN": "keep"}
        handler = MqttHandler(load(MqttSettings, {}, environ), CollectorRegistry())
        handler.know_store(uuid4())
        payloads = [b"small", bytes(demands.packet), b"retained"]
        results = handler.handle([_message(number, payload) for number, payload in enumerate(payloads)])
        handler.teardown()
    assert [result is None for result in results] == [True, False, True]
    assert f"exceed the broker's maximum of {demands.packet}" in str(results[1])
    assert [payload for _, payload in cloud.seen.published] == [b"small", b"retained"]
    assert cloud.seen.broken == []


def _message(number: int, payload: bytes) -> Message:
    return Message(number, "plant/#", "plant/1", payload, 1_800_000_000.0, qos=2, retain=payload == b"retained")


@pytest.mark.parametrize("name", PROFILES)
def test_doctor_and_the_web_page_connect_as_well(name: str, tmp_path: Path) -> None:
    """With the same settings; and what they say holds no secret."""
    demands, chosen = PROFILES[name]
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, chosen(cloud))
        settings = load(WebSettings, {}, environ)
        assert settings.broker is not None
        Publisher(settings, settings.broker).check()
        findings: list[Finding] = list(check_broker(environ | {"FMQ_TOPICS": "plant/#"}))
    said = [str(finding) for finding in findings]
    assert any("accepts the connection" in line for line in said)
    assert any("granted" in line for line in said), said
    assert not any(secret in line for line in said for secret in (clouds.SIGNATURE, clouds.TOKEN))
    assert cloud.seen.broken == []


def _refused(environ: Environ, store: Store) -> str:
    try:
        with _session(environ, store) as session:
            session.connect()
            wait_for(lambda: session.poll(0.2) and False, what="the end of the connection")
    except (ConnectionFailed, ConnectionLost) as error:
        return str(error)
    raise AssertionError("it was accepted")


@_LEAKS
@pytest.mark.parametrize(
    ("name", "changed", "words"),
    [
        ("hivemq", {"TLS_SERVER_NAME": "other.example.com"}, "it does not know this host name (unrecognized name)"),
        (
            "aws, certificate",
            {"TLS_ALPN": "mqtt"},
            "another application protocol (ALPN) on this port, set FMQ_TLS_ALPN",
        ),
        ("aws, presigned", {"QUERY": "X-Amz-Signature=expired"}, "a presigned query has expired"),
        ("aws, authorizer", {"QUERY": "token=wrong"}, "Not authorized"),
        ("azure", {"USERNAME": "another"}, "Not authorized"),
    ],
)
def test_a_demand_that_is_not_met_is_named(
    name: str, changed: Environ, words: str, tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """What the cloud does not like is in the error, and no secret is."""
    demands, chosen = PROFILES[name]
    with Cloud(tmp_path, demands) as cloud:
        said = _refused(_environ(cloud, chosen(cloud) | changed), store)
    gc.collect()
    assert words in said
    assert not any(secret in said + caplog.text for secret in (clouds.SIGNATURE, clouds.TOKEN, "=expired", "=wrong"))


@_LEAKS
def test_without_a_server_name_an_address_is_refused(tmp_path: Path, store: Store) -> None:
    """TLS sends no address as a name, so the cloud does not know whom is meant."""
    demands, chosen = PROFILES["hivemq"]
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, chosen(cloud))
        del environ["FMQ_TLS_SERVER_NAME"]
        assert "unrecognized name" in _refused(environ, store)
    gc.collect()
    assert cloud.seen.broken == ["SNI None"]


def _serve_all_but(last: str, topics: Sequence[str], tmp_path: Path, store: Store) -> None:
    demands, chosen = PROFILES["aws, certificate"]
    with (
        Cloud(tmp_path, demands, waiting=(("plant/00", b"x"),)) as cloud,
        _session(_environ(cloud, chosen(cloud)), store, topics) as session,
    ):

        def served() -> bool:
            try:
                session.acknowledge(session.poll(0.1))
            except ConnectionLost:
                session.connect()
            return all(session.holds(one) for one in topics if one != last)

        session.connect()
        wait_for(served, what="the other subscriptions")
        wait_for(lambda: not session.poll(0.1) and last in str(session.problem), what="the problem")
        wait_for(lambda: cloud.seen.acknowledged, what="the message of another filter")


@_LEAKS
def test_the_doctor_has_the_status_of_a_refused_websocket(tmp_path: Path) -> None:
    """What the log can't say: whether the path or the signature is wrong."""
    demands, chosen = PROFILES["aws, presigned"]
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, chosen(cloud) | {"QUERY": "X-Amz-Signature=expired"})
        (finding,) = check_broker(environ)
    gc.collect()
    assert "it answers with HTTP status 403 Forbidden" in finding.text
    assert "expired" not in finding.text.replace("query has expired", "")


def test_one_filter_too_many_does_not_keep_the_others_out(tmp_path: Path, store: Store) -> None:
    """The cloud ends the connection for the 51st subscription: it is found and left out, and the others are served."""
    topics = [f"plant/{number:02}" for number in range(51)]
    _serve_all_but("plant/50", topics, tmp_path, store)


def test_one_filter_too_deep_does_not_keep_the_others_out(tmp_path: Path, store: Store) -> None:
    """The same for a filter with more slashes than the cloud allows, whatever its place in the list."""
    _serve_all_but("plant/1/2/3/4/5/6/7/8", ["plant/1/2/3/4/5/6/7/8", "plant/00", "plant/01"], tmp_path, store)


def test_a_shorter_session_is_reported(tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """By the log and by the doctor: what comes while the listener is away for longer is lost."""
    demands, chosen = PROFILES["azure"]
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, chosen(cloud))
        with _session(environ, store) as session:
            session.connect()
        texts = [finding.text for finding in check_broker(environ)]
    assert "The broker keeps messages for an absent listener for only 3600 s" in caplog.text
    assert any("it keeps a session for 3,600 s, FMQ_SESSION_EXPIRY_SECONDS asks for 604,800" in one for one in texts)


def _answers(reply: bytes) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        connection.read_until(CONNECT)
        connection.send(reply)
        connection.serve()

    return script


def _connack(reason: int, properties: bytes = b"") -> bytes:
    return packet(CONNACK, bytes([0, reason, len(properties)]) + properties)


_METHOD = b"\x15" + text("OAUTH2-JWT")
_SERVER = b"\x1c" + text("other.example.com:8883")
_REASON = b"\x1f" + text("two of\nthem")
_ENHANCED = "its method is OAUTH2-JWT; fmq does not support enhanced authentication: use a user name and a password"
ANSWERS = {
    "bad method": (_connack(0x8C, _METHOD), ("Bad authentication method", _ENHANCED)),
    "auth": (
        packet(0xF0, bytes([0x18, len(_METHOD)]) + _METHOD),
        ("asks for enhanced authentication (AUTH)", _ENHANCED),
    ),
    "another server": (_connack(0x9C, _SERVER), ("Use another server; it names other.example.com:8883; set ",)),
    "moved": (_connack(0x9D), ("Server moved; set ",)),
    "quota": (_connack(0x97, _REASON), (r"Quota exceeded (two of\nthem); a limit of the broker is reached",)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_broker_answers_is_explained(name: str, store: Store) -> None:
    """In words that say what to do: to the listener, to the handler and to the doctor. Another server is never followed."""
    reply, words = ANSWERS[name]
    with ScriptedBroker(_answers(reply)) as broker:
        environ = {"FMQ_CONFIG": os.devnull, "FMQ_BROKER_URL": broker.url}
        found = {"FMQ_BROKER_URL": _refused(environ, store)}
        found["FMQ_BROKER_URL "] = " ".join(finding.text for finding in check_broker(environ))
        settings = load(
            MqttSettings, {}, {"FMQ_CONFIG": os.devnull, "FMQ_MQTT_URL": broker.url, "FMQ_MQTT_PATIENCE_SECONDS": "0"}
        )
        handler = MqttHandler(settings, CollectorRegistry())
        handler.know_store(uuid4())
        found["FMQ_MQTT_URL"] = str(handler.handle([_message(1, b"x")])[0])
        handler.teardown()
    for setting, said in found.items():
        for part in words:
            assert (part + setting.strip() if part.endswith("set ") else part) in said
    assert broker.connections == 3
    assert broker.errors == []


def test_the_brokers_keep_alive_counts(tmp_path: Path, store: Store) -> None:
    """A shorter Server Keep Alive than the one asked for is kept to."""
    with Cloud(tmp_path, Demands(connack=b"\x13\0\x01")) as cloud, _session(_environ(cloud, {}), store) as session:
        session.connect()
        wait_for(lambda: not session.poll(0.2) and cloud.seen.pings > 0, what="PINGREQ")


def test_a_disconnect_with_another_server_is_explained(store: Store) -> None:
    """The same words as in CONNACK."""

    def script(connection: Connection) -> None:
        connection.accept()
        connection.send(packet(DISCONNECT, bytes([0x9D, len(_SERVER)]) + _SERVER))
        connection.serve()

    with ScriptedBroker(script) as broker:
        said = _refused({"FMQ_CONFIG": os.devnull, "FMQ_BROKER_URL": broker.url}, store)
    assert "Server moved; it names other.example.com:8883; set FMQ_BROKER_URL to that server" in said


def test_a_query_is_renewed_and_shown_nowhere(tmp_path: Path, fmq: Processes) -> None:
    """Each connection uses what the file then holds; log, status, metrics and presence show none of it."""
    demands, _ = PROFILES["aws, presigned"]
    query = tmp_path / "query"
    query.write_text("X-Amz-Signature=of-yesterday\n")
    with Cloud(tmp_path, demands) as cloud:
        environ = _environ(cloud, {"URL": "wss://127.0.0.1/mqtt", "QUERY_FILE": str(query)})
        environ |= {"FMQ_RECONNECT_MAX_SECONDS": "0.2", "FMQ_LOG_LEVEL": "DEBUG", "FMQ_TOPICS": "plant/#"}
        listener = fmq.start("listen", **environ)
        listener.wait_to_say("it refused the WebSocket")
        query.write_text(clouds.QUERY)
        listener.wait_to_say("Connected and subscribed successfully")
        shown = [listener.get(path) for path in ("metrics", "readyz", "healthz")]
        status = fmq.start("status", "--json", **environ)
        status.wait()
        assert listener.terminate() == 0
    shown += [listener.text, status.text]
    assert cloud.seen.targets[0] == "/mqtt?X-Amz-Signature=of-yesterday"
    assert not any(secret in text for text in shown for secret in (clouds.SIGNATURE, "of-yesterday", "X-Amz"))
