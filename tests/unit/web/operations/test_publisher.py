"""Publishing a message again, to a broker that answers as each test says."""

import threading
from http import HTTPStatus
from typing import Any

import pytest

from fmq.errors import UnknownQueue
from fmq.message import Incoming, Properties
from fmq.outcome import Dead
from fmq.service.broker.url import parse_url
from fmq.store.selection import Selection, State
from fmq_web.http.problems import Problem
from fmq_web.operations.publisher import Publisher, required
from fmq_web.settings import WebSettings
from support.broker import free_port
from support.scripted_broker import CONNECT, PUBACK, PUBLISH, Connection, Script, ScriptedBroker, packet
from support.wait import wait_for
from support.web.databases import QUEUE, Web

OPERATOR = "alice"
CONNACK_REFUSED = packet(0x20, b"\0\x87\0")


def answering(reason: int, properties: bytes = b"") -> Script:
    """A broker that acknowledges one PUBLISH with this reason code."""

    def script(connection: Connection) -> None:
        connection.accept(properties=properties)
        body = connection.read_until(PUBLISH)
        start = 2 + int.from_bytes(body[:2], "big")
        connection.send(packet(PUBACK, body[start : start + 2] + bytes([reason, 0])))
        connection.serve()

    return script


def silent(connection: Connection) -> None:
    """Takes the message, and says nothing."""
    connection.accept()
    connection.serve()


def leaving(connection: Connection) -> None:
    """Takes the message, and leaves."""
    connection.accept()
    connection.read_until(PUBLISH)


def refusing(connection: Connection) -> None:
    connection.read_until(CONNECT)
    connection.send(CONNACK_REFUSED)
    connection.serve()


def publisher(url: str, *, ack_seconds: float = 30.0) -> Publisher:
    return Publisher(WebSettings(broker_url=url), parse_url(url), ack_seconds=ack_seconds)


def store_one(web: Web, topic: str = "sensors/a/temp", **fields: Any) -> int:  # noqa: ANN401
    """The id of a new pending message."""
    web.store.declare(QUEUE)
    web.store.put([Incoming(QUEUE, topic, b"21.5", web.clock.wall(), **fields)])
    return int(web.store.heads(QUEUE, Selection(State.ANY), limit=1).heads[0].id)


def problem(web: Web, by: Publisher, number: int, *, retain: bool = False) -> Problem:
    """What is wrong with publishing the message."""
    with pytest.raises(Problem) as caught:
        by.publish(web.store, OPERATOR, QUEUE, number, retain=retain)
    return caught.value


def audited(web: Web) -> list[tuple[str, str, str, int, bool]]:
    return [(one.actor, one.queue, one.selection, one.changed, one.ended_at is not None) for one in web.store.actions()]


@pytest.fixture
def number(web: Web) -> int:
    return store_one(web)


class TestDone:
    def test_only_an_acknowledged_message_is_published(self, web: Web, number: int) -> None:
        """Then the answer says where it is, and the audit who did it."""
        with ScriptedBroker(answering(0)) as broker:
            done = publisher(broker.url).publish(web.store, OPERATOR, QUEUE, number, retain=False)
        assert (done.topic, done.qos, done.retained, done.nobody_subscribes) == ("sensors/a/temp", 1, False, False)
        assert done.broker == broker.url
        assert audited(web) == [(OPERATOR, QUEUE, f"id {number}", 1, True)]

    def test_nobody_subscribes(self, web: Web, number: int) -> None:
        """Reason code 16 is a success that is worth a word."""
        with ScriptedBroker(answering(0x10)) as broker:
            assert publisher(broker.url).publish(web.store, OPERATOR, QUEUE, number, retain=True).nobody_subscribes
        assert audited(web) == [(OPERATOR, QUEUE, f"id {number}, retained", 1, True)]

    @pytest.mark.parametrize("state", ["pending", "dead"])
    def test_the_message_stays_as_it_is(self, web: Web, number: int, state: str) -> None:
        """Also if it is a dead letter, or its queue is paused."""
        if state == "dead":
            web.store.settle([(one, Dead("no")) for one in web.store.claim(QUEUE, 1, lease=60)])
        web.store.pause(QUEUE, "repaired")
        before = web.store.stats(QUEUE), web.store.detail(QUEUE, number)
        with ScriptedBroker(answering(0)) as broker:
            publisher(broker.url).publish(web.store, OPERATOR, QUEUE, number, retain=False)
        assert (web.store.stats(QUEUE), web.store.detail(QUEUE, number)) == before


class TestNotDone:
    @pytest.mark.parametrize(
        ("reason", "words"),
        [
            (0x80, "it gives no reason"),
            (0x87, "its access rules do not let this user publish on this topic (Not authorized, 135)"),
            (0x90, "it does not accept this topic"),
            (0x97, "a quota is used up"),
            (0x99, "not in the format that its property says"),
        ],
    )
    def test_a_refusal_in_words(self, web: Web, number: int, reason: int, words: str) -> None:
        """A reason code above 127 is a refusal, and the audit has no published message."""
        with ScriptedBroker(answering(reason)) as broker:
            found = problem(web, publisher(broker.url), number)
        assert found.status == HTTPStatus.CONFLICT
        assert words in found.detail
        assert audited(web) == [(OPERATOR, QUEUE, f"id {number}", 0, True)]

    @pytest.mark.parametrize(("script", "why"), [(silent, "it sent no PUBACK for 0.3 s"), (leaving, "closed")])
    def test_without_an_answer_nobody_knows(self, web: Web, number: int, script: Script, why: str) -> None:
        """It is not sent again: a subscriber would get it twice. The problem says so."""
        with ScriptedBroker(script) as broker:
            found = problem(web, publisher(broker.url, ack_seconds=0.3), number)
            assert broker.connections == 1
        assert found.status == HTTPStatus.GATEWAY_TIMEOUT
        assert why in found.detail
        assert "It may have got it" in found.detail
        assert audited(web)[0][3:] == (0, True)

    def test_the_page_stops(self, web: Web, number: int) -> None:
        """A publication does not hold the service back, and none begins any more."""
        with ScriptedBroker(silent) as broker:
            by = publisher(broker.url)
            found: list[Problem] = []
            with web.open() as store:

                def go() -> None:
                    try:
                        by.publish(store, OPERATOR, QUEUE, number, retain=False)
                    except Problem as error:
                        found.append(error)

                thread = threading.Thread(target=go)
                thread.start()
                wait_for(lambda: by._connection is not None and by._connection._client.is_connected(), what="it")
                by.close()
                thread.join(10)
                assert not thread.is_alive()
            assert "the web page stops" in found[0].detail
            assert problem(web, by, number).status == HTTPStatus.SERVICE_UNAVAILABLE
            assert broker.connections == 1

    @pytest.mark.parametrize("kind", ["away", "refusing"])
    def test_a_broker_that_is_not_reached(self, web: Web, number: int, kind: str) -> None:
        """Nothing was published, and one may try again."""
        with ScriptedBroker(refusing) as broker:
            url = broker.url if kind == "refusing" else f"mqtt://127.0.0.1:{free_port()}"
            found = problem(web, publisher(url), number)
        assert found.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert found.detail.startswith("Nothing was published: mqtt://127.0.0.1:")
        assert ("Not authorized" if kind == "refusing" else "Connection refused") in found.detail

    @pytest.mark.parametrize(
        ("properties", "retain", "words"),
        [
            (b"\x27" + (10).to_bytes(4, "big"), False, "the broker takes 10 at most"),
            (b"\x25\0", True, "keeps no retained messages"),
        ],
    )
    def test_a_broker_says_that_it_can_not(
        self, web: Web, number: int, properties: bytes, words: str, *, retain: bool
    ) -> None:
        """Its limits are in CONNACK (MQTT 5, section 3.2.2.3); nothing is sent then."""
        with ScriptedBroker(answering(0, properties)) as broker:
            found = problem(web, publisher(broker.url), number, retain=retain)
            broker.errors.clear()  # it waited for the message
        assert found.status == HTTPStatus.CONFLICT
        assert words in found.detail

    @pytest.mark.parametrize(
        "fields",
        [
            {"properties": Properties(raw=b"\x05\x01\x02\x03\x04\x05")},
            {"properties": Properties(user_properties=(("secret", "\ud800"),))},
            {"properties": Properties(content_type="secret\ud800")},
            {"topic": "secret/+"},
            {"topic": "secret/#"},
        ],
    )
    def test_what_was_stored_but_can_not_be_sent(self, web: Web, fields: dict[str, Any]) -> None:
        """Properties that nobody could parse, text that is not UTF-8, a topic with wildcards: said without the contents."""
        number = store_one(web, **fields)
        with ScriptedBroker(silent) as broker:
            found = problem(web, publisher(broker.url), number)
        assert found.status == HTTPStatus.CONFLICT
        assert "secret" not in found.detail

    def test_no_such_message(self, web: Web, number: int) -> None:
        """Nothing is sent, and nothing recorded."""
        with ScriptedBroker(silent) as broker:
            by = publisher(broker.url)
            assert problem(web, by, number + 1).status == HTTPStatus.NOT_FOUND
            with pytest.raises(UnknownQueue):
                by.publish(web.store, OPERATOR, "unknown", number, retain=False)
            assert broker.connections == 0
        assert not audited(web)

    def test_one_at_a_time(self, web: Web, number: int) -> None:
        """Each may hold a large message, and a worker thread that other changes need."""
        by = publisher(f"mqtt://127.0.0.1:{free_port()}")
        with by._turn:
            assert problem(web, by, number).status == HTTPStatus.SERVICE_UNAVAILABLE

    def test_no_broker(self) -> None:
        """The problem says which setting is missing."""
        with pytest.raises(Problem, match="FMQ_BROKER_URL") as caught:
            required(None)
        assert caught.value.status == HTTPStatus.CONFLICT


def test_a_form_counts_once() -> None:
    """A second click on the same form is recognised, and the marks do not fill memory."""
    by = publisher("mqtt://127.0.0.1:1")
    form = by.new_form()
    assert by.is_first(form)
    assert not by.is_first(form)
    assert by.is_first(by.new_form())
    for _ in range(2_000):
        by.is_first(by.new_form())
    assert len(by._forms) == 1_000
