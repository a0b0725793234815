"""Pages and forms with a real store, as they work without scripts: a form leads to a page that shows what it did."""

import re
from html import unescape
from urllib.parse import quote

import httpx
import pytest

from fmq.errors import StoreUnavailable
from fmq.message import Incoming
from fmq_web.pages.links import url
from fmq_web.pages.routes import PAGES
from support.wait import wait_for
from support.web.filled import EMPTY, QUEUE
from unit.web.pages.conftest import Pages

_QUEUE = quote(QUEUE, safe="")


def ended(pages: Pages) -> None:
    """Wait for all operations."""
    wait_for(lambda: all(one.state != "running" for one in pages.site.operations.all()), what="the operations")


@pytest.mark.parametrize("role", ["read", "operate"])
def test_each_page_of_the_table_shows(pages: Pages, role: str) -> None:
    """With the links that its neighbours have. Who may only read sees no button that changes anything."""
    pages.role = role
    number = pages.filled.ids["dead1"]
    given = {
        "/queue": f"?name={_QUEUE}",
        "/messages": f"?queue={_QUEUE}",
        "/message": f"?queue={_QUEUE}&id={number}",
        "/runbook": "?name=FmqDeadLetters",
    }
    for page in PAGES:
        if page.method == "GET":
            answer = pages.get(page.path + given.get(page.path, ""))
            assert answer.status_code == httpx.codes.OK, page.path
            assert ('method="post"' in answer.text) <= (role == "operate"), page.path


def test_each_form_of_the_table_needs_the_role_operate(pages: Pages) -> None:
    """Whatever is sent; nothing is changed or recorded."""
    pages.role = "read"
    for page in PAGES:
        if page.method == "POST":
            forged = httpx.Response(200, text=f'<form action="{page.path}"></form>')
            assert pages.send(forged, page.path).status_code == httpx.codes.FORBIDDEN, page.path
    assert not pages.filled.store.actions()


def test_pause_with_a_reason_and_resume(pages: Pages) -> None:
    """The queue's page says since when and why, and both are in the audit."""
    page = pages.send(pages.get(url("/queue", name=QUEUE)), "/queue/pause", reason="<maintenance>")
    assert "Paused since" in page.text
    assert "&lt;maintenance&gt;" in page.text
    assert pages.filled.store.paused(QUEUE)
    page = pages.send(page, "/queue/resume")
    assert "Resumed." in page.text
    assert pages.filled.store.paused(QUEUE) is None
    activity = pages.get("/activity").text
    assert activity.count("operate-token") == 2


def test_a_small_group_is_requeued_at_once(pages: Pages) -> None:
    """And no other group."""
    page = pages.send(pages.get("/dead"), "no route")
    assert "Requeued 2 messages." in page.text
    assert pages.filled.store.stats(QUEUE).dead == 1


def test_a_purge_asks_first_and_then_deletes_only_the_group(pages: Pages) -> None:
    """The page that asks names the number and offers the download."""
    dead = pages.get("/dead")
    asks = pages.send(dead, 'value="purge"')
    assert "Delete 2 for good" in asks.text
    assert "/api/v1/dead/export?queue=" in asks.text
    assert pages.filled.store.stats(QUEUE).dead == 3
    assert "Started: purge of 2 messages." in pages.send(asks, "/operations/start").text
    ended(pages)
    assert pages.filled.store.stats(QUEUE).dead == 1


def test_a_group_without_a_reason_is_not_all_groups(pages: Pages) -> None:
    """An empty field of a form counts as not given: a purge of it must still not delete the others."""
    pages.filled.store.put([Incoming(QUEUE, "sensors/x/temp", b"", pages.filled.clock.wall(), reason="")])
    pages.filled.clock.advance(1)
    alone = pages.get(url("/messages", queue=QUEUE, state="dead", group=":"))
    assert "Looked at" in alone.text
    asks = pages.send(alone, 'value="purge"')
    assert "Delete 1 for good" in asks.text
    pages.send(asks, "/operations/start")
    ended(pages)
    assert pages.filled.store.stats(QUEUE).dead == 3


def test_what_is_filtered_is_what_is_purged(pages: Pages) -> None:
    """Topic, reason and times of the search go into the operation."""
    found = pages.get(url("/messages", queue=QUEUE, state="dead", topic="sensors/dead2/#", since="2 h", reason="ROUTE"))
    asks = pages.send(found, 'value="purge"')
    assert "Delete 1 for good" in asks.text
    pages.send(asks, "/operations/start")
    ended(pages)
    left = pages.filled.store.dead_letters(QUEUE)
    assert {one.message.topic for one in left} == {"sensors/dead1/temp", "sensors/dead3/temp"}


def test_one_message_is_handled_again(pages: Pages) -> None:
    """Dead or done; then its page offers it no more."""
    for name in ("dead1", "done"):
        page = pages.get(url("/message", queue=QUEUE, id=pages.filled.ids[name]))
        page = pages.send(page, "/message/handle-again")
        assert "waits to be handled" in page.text
        assert "/message/handle-again" not in page.text


def test_ticked_messages_are_handled_again(pages: Pages) -> None:
    """They alone, and one leads back to the same list. One that has changed meanwhile stays as it is."""
    ids = pages.filled.ids
    found = pages.get(url("/messages", queue=QUEUE, state="dead", since="2 h"))
    assert f'value="{ids["dead1"]}" form="picked"' in found.text
    pages.filled.store.requeue_dead(QUEUE, [ids["dead2"]])
    page = pages.send(found, "/messages/picked", kind="handle-again", ids=[str(ids["dead1"]), str(ids["dead2"])])
    assert "Requeued 1 message. 1 other has changed meanwhile." in page.text
    assert '<option value="dead" selected>' in page.text
    stats = pages.filled.store.stats(QUEUE)
    assert (stats.dead, stats.done) == (1, 1)


def test_ticked_messages_are_deleted_after_a_question(pages: Pages) -> None:
    """Dead or done; what waits or is being handled has no tick box, and is not deleted even if somebody asks for it."""
    ids = pages.filled.ids
    found = pages.get(url("/messages", queue=QUEUE))
    assert found.text.count('form="picked"') == 4
    before = pages.filled.store.stats(QUEUE)
    chosen = [str(ids[name]) for name in ("dead3", "done", "new", "claimed")]
    asks = pages.send(found, "/messages/picked", kind="purge", ids=chosen)
    assert "Delete 4 messages for good?" in asks.text
    assert pages.filled.store.stats(QUEUE) == before
    assert "Deleted 2 messages. 2 others have changed meanwhile." in pages.send(asks, "/messages/picked").text
    left = {one.id for one in pages.filled.store.messages(QUEUE, list(ids.values()))}
    assert left == set(ids.values()) - {ids["dead3"], ids["done"]}
    (action,) = pages.filled.store.actions()
    assert (action.kind, action.changed) == ("purge", 2)


def test_nothing_is_ticked(pages: Pages) -> None:
    """Then nothing is done, and the list says so."""
    found = pages.get(url("/messages", queue=QUEUE))
    assert "No message is ticked." in pages.send(found, "/messages/picked", kind="purge").text
    assert not pages.filled.store.actions()


@pytest.mark.parametrize("name", [QUEUE, "a\u202eb/" + "x" * 100])
def test_a_queue_is_purged_when_its_name_was_typed(pages: Pages, name: str) -> None:
    """A long name, or one with invisible characters, is typed as the page shows it. Messages that are held stay."""
    store = pages.filled.store
    if name != QUEUE:
        store.declare(name)
        store.put([Incoming(name, "t", b"", pages.filled.clock.wall())])
        pages.filled.clock.advance(1)
    held = store.stats(name).claimed
    asks = pages.send(pages.get(url("/queue", name=name)), 'value="purge-queue"')
    typed = re.search(r"type <code>(.*?)</code>", asks.text)
    assert typed
    assert pages.send(asks, "/operations/start", name="something else").status_code == 422
    assert pages.send(asks, "/operations/start").status_code == 422
    assert store.stats(name).pending
    plain = unescape(re.sub("<[^>]+>", "", typed[1]))
    assert "Started: purge queue of" in pages.send(asks, "/operations/start", name=plain).text
    ended(pages)
    stats = store.stats(name)
    assert (stats.pending, stats.done, stats.dead, stats.claimed) == (0, 0, 0, held)


def test_a_queue_that_nobody_needs_is_deleted(pages: Pages) -> None:
    """After a question. It has to be empty, and no listener may subscribe to it."""
    assert "Delete this queue" not in pages.get(url("/queue", name=EMPTY)).text
    pages.filled.clock.advance(60)  # the listener is away
    asks = pages.send(pages.get(url("/queue", name=EMPTY)), "delete-queue")
    assert "Delete the queue" in asks.text
    pages.send(asks, "/operations/start")
    ended(pages)
    assert pages.filled.store.names() == [QUEUE]
    assert pages.get(url("/queue", name=EMPTY)).status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("show_payloads", [False])
def test_hidden_contents_are_nowhere(pages: Pages) -> None:
    """Neither in lists nor on the message's page."""
    for path in (
        url("/messages", queue=QUEUE),
        url("/message", queue=QUEUE, id=pages.filled.ids["done"]),
        url("/queue", name=QUEUE),
    ):
        answer = pages.get(path)
        assert answer.status_code == httpx.codes.OK
        assert "from&#34;" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/queue?name=none",
        f"/message?queue={_QUEUE}&id=999999",
        f"/message?queue={_QUEUE}&id=x",
        "/runbook?name=../README",
        "/messages?queue=%00",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(pages: Pages, path: str) -> None:
    """404, and never a trace."""
    answer = pages.get(path)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "<h1>Not found</h1>" in answer.text


@pytest.mark.parametrize("query", ["topic=a%23", "since=soon", "state=lost", "before=%21", "x=1", "group=g"])
def test_a_wrong_search_is_a_page_that_says_what_is_wrong(pages: Pages, query: str) -> None:
    """422."""
    answer = pages.get(f"/messages?queue={_QUEUE}&{query}")
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "Invalid parameters" in answer.text


def test_an_unreadable_store_shows_the_last_figures(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their time, and what to do."""
    assert pages.get("/").status_code == httpx.codes.OK

    def refuse(*_: object) -> None:
        raise StoreUnavailable("disk I/O error")

    monkeypatch.setattr(pages.site.stores, "_run", refuse)
    answer = pages.get("/")
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "The store can&#39;t be read" in answer.text or "The store can't be read" in answer.text
    assert "Last figures" in answer.text
    assert QUEUE in answer.text
