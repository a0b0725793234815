"""A message is published again from its page, through a real broker."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from browser.conftest import NewPage, sign_in, watched_pages
from browser.places import actions, message_page
from support.stack import READER, USER, Stack
from support.subscriber import Subscriber
from support.wait import wait_for
from support.web.hostile import TEXTS

FILTERS = ("again/#",)
QUEUE = "again/#"
TOPICS = [f"again/{text.replace('+', '')}" for text in TEXTS if "#" not in text]


@pytest.fixture(scope="module")
def subscriber(stack: Stack) -> Iterator[Subscriber]:
    """Gets all that is published."""
    with Subscriber(stack.broker.port) as made:
        yield made


@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_published_arrives_once(visit: NewPage, stack: Stack, subscriber: Subscriber, topic: str) -> None:
    """On its topic, whatever that is, with its payload and properties; the one here stays a dead letter."""
    payload = b"\x00\xff<script>"
    stack.deliver(QUEUE, topic, payload, do="reject")
    number = stack.newest(QUEUE)
    before = stack.store.stats(QUEUE)
    page = visit()
    page.goto(message_page(QUEUE, number))
    page.get_by_role("button", name="Publish again").dblclick()
    expect(page.get_by_role("status").first).to_contain_text("ublished")
    end = b"end of %d" % number
    stack.publish("end", end)
    wait_for(lambda: end in subscriber.payloads, what="the last one")
    arrived = [one for one in subscriber.messages if one.topic == topic]
    assert [(bytes(one.payload), one.retain) for one in arrived] == [(payload, False)] * 2  # at first, and again
    assert arrived[1].properties.UserProperty == [("do", "reject")]  # type: ignore[union-attr]
    after = stack.wait_for(QUEUE, stored=before.stored + 1, pending=0, claimed=0)  # the listener got it too
    assert after.dead == before.dead + 1
    assert actions(page, "publish", QUEUE)[0] == (USER, f"{QUEUE}\nid {number}", "1")


def test_a_broker_that_is_away_is_said(visit: NewPage, stack: Stack) -> None:
    """Nothing was published then; later it is, retained if that is wanted."""
    stack.deliver(QUEUE, "again/later", b"later")
    page = visit()
    page.goto(message_page(QUEUE, stack.newest(QUEUE)))
    stack.broker.stop()
    page.get_by_role("button", name="Publish again").click()
    expect(page.locator("main")).to_contain_text("Nothing was published")
    stack.broker.start()
    page.goto(message_page(QUEUE, stack.newest(QUEUE)))
    page.get_by_label("retained").check()
    page.get_by_role("button", name="Publish again").click()
    expect(page.get_by_role("status").first).to_contain_text("Published again.")
    with Subscriber(stack.broker.port, name="later") as later:
        wait_for(lambda: b"later" in later.payloads, what="the retained message")
    assert later.messages[0].retain


def test_a_reader_has_no_button(browser: Browser, stack: Stack) -> None:
    """Nor has anyone whose page has no broker."""
    stack.deliver(QUEUE, "again/read", b"x")
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        sign_in(page, READER)
        page.goto(message_page(QUEUE, stack.newest(QUEUE)))
        expect(page.locator("h1")).to_contain_text("was handled")
        expect(page.get_by_role("button", name="Publish again")).to_have_count(0)
        assert not faults
