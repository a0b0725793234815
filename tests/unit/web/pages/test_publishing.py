"""The button that publishes a message again, without scripts."""

from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from fmq.message import Incoming
from fmq.service.broker.url import parse_url
from fmq.store.selection import Selection, State
from fmq_web.operations.publisher import Publisher
from fmq_web.pages.links import url
from fmq_web.settings import WebSettings
from support.scripted_broker import PUBACK, PUBLISH, Connection, ScriptedBroker, packet
from support.web.filled import QUEUE
from unit.web.pages.conftest import Pages

_BUTTON = "Publish again</button>"


def _acknowledge(connection: Connection) -> None:
    connection.accept()
    body = connection.read_until(PUBLISH)
    start = 2 + int.from_bytes(body[:2], "big")
    connection.send(packet(PUBACK, body[start : start + 2] + b"\x10\0"))
    connection.serve()


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    with ScriptedBroker(_acknowledge) as running:
        yield running


@pytest.fixture
def publisher(broker: ScriptedBroker) -> Publisher:
    made = WebSettings(broker_url=broker.url.replace("//", "//fmq:secret@"))
    return Publisher(made, parse_url(broker.url))


@pytest.fixture
def page_of_message(pages: Pages) -> str:
    """Where a message is whose properties can be sent."""
    store = pages.filled.store
    store.put([Incoming(QUEUE, "sensors/again/temp", b"21.5", pages.filled.clock.wall())])
    return url("/message", queue=QUEUE, id=store.heads(QUEUE, Selection(State.ANY), limit=1).heads[0].id)


def test_one_click_publishes_once(pages: Pages, broker: ScriptedBroker, page_of_message: str) -> None:
    """The page says where it goes and that it went; sending the same form again publishes nothing."""
    page = pages.get(page_of_message)
    assert broker.url in unescape(page.text)
    done = pages.send(page, "/message/publish", retain="true")
    assert "Published again. The message here is as it was. Nobody subscribes to its topic." in done.text
    assert "waits to be handled" in done.text
    assert "not published twice" in pages.send(page, "/message/publish").text
    assert broker.connections == 1
    (action,) = pages.filled.store.actions()
    assert (action.kind, action.actor, action.changed) == ("publish", "operate-token", 1)
    pages.send(done, "/message/publish")
    assert broker.connections == 2


def test_what_can_not_be_published_is_said(pages: Pages, broker: ScriptedBroker) -> None:
    """Here a property that is not UTF-8."""
    page = pages.get(url("/message", queue=QUEUE, id=pages.filled.ids["dead1"]))
    answer = pages.send(page, "/message/publish")
    assert answer.status_code == 409
    assert "not valid in MQTT" in answer.text
    assert broker.connections == 0


def test_who_may_only_read_has_no_button(pages: Pages, page_of_message: str) -> None:
    pages.role = "read"
    assert _BUTTON not in pages.get(page_of_message).text


class TestWithoutABroker:
    @pytest.fixture
    def publisher(self) -> Publisher | None:
        return None

    def test_there_is_no_button(self, pages: Pages, page_of_message: str) -> None:
        """And a form that is sent anyway is answered with the missing setting."""
        page = pages.get(page_of_message)
        assert _BUTTON not in page.text
        forged = (
            f'<form action="{page_of_message.replace("/message", "/message/publish").replace("&", "&amp;")}"></form>'
        )
        answer = pages.send(httpx.Response(200, text=forged), "/message/publish", form="x")
        assert answer.status_code == 409
        assert "FMQ_BROKER_URL" in answer.text
