"""What operators see and do on real pages, and what the store's audit says about it."""

import re

from playwright.sync_api import Browser, expect

from browser.conftest import NewPage, sign_in, watched_pages
from browser.places import actions, messages_page, queue_page
from support.stack import PASSWORD, READER, USER, Stack
from support.wait import wait_for

NONE = "\u2013"
FILTERS = ("halls/+/temp", "search/#", "doors/+")


def test_someone_signs_in_and_out(browser: Browser, stack: Stack) -> None:
    """Pages lead to the form and back again, a wrong password is said, and after signing out nothing is shown."""
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/workers")
        expect(page.locator("h1")).to_have_text("Sign in to fmq")
        page.get_by_label("Name").fill(USER)
        page.get_by_label("Password").fill("wrong password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Name")).to_have_value(USER)
        sign_in(page)
        page.goto("/workers")
        expect(page.locator("h1")).to_contain_text("at work")
        assert actions(page, "sign-in")[0] == (USER, "from 127.0.0.1", NONE)
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in to fmq")
        page.goto("/")
        expect(page.locator("h1")).to_have_text("Sign in to fmq")
        assert not faults


def test_a_form_leads_to_where_one_wanted_to_go(browser: Browser, stack: Stack) -> None:
    """Signing in continues with the page that was asked for."""
    with watched_pages(browser, stack.url) as (make, _faults):
        page = make()
        page.goto(queue_page("halls/+/temp"))

        def arrived() -> bool:
            page.get_by_label("Name").fill(USER)
            page.get_by_label("Password").fill(PASSWORD)
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return "/sign-in" not in page.url

        wait_for(arrived, what="the session")
        expect(page.locator("h1")).to_have_text("halls/+/temp")


def test_the_overview_says_what_waits_and_who_is_at_work(visit: NewPage, stack: Stack) -> None:
    """A sentence about the whole, and each queue with its figures and a link to its page."""
    stack.publish("halls/a/temp", b"21.5", b"21.6")
    stack.wait_for("halls/+/temp", done=2)
    page = visit()
    page.goto("/")
    expect(page.locator("h1")).to_contain_text(re.compile("needs? you"))
    expect(page.locator("#detail")).to_contain_text("A listener and a processor are at work.")
    row = page.locator("tr[data-queue='halls/+/temp']")
    expect(row.locator("[data-f=stored]")).to_have_text("2")
    expect(row.get_by_role("img")).to_have_attribute("aria-label", re.compile("."))
    row.get_by_role("link", name="halls/+/temp").click()
    expect(page.locator("h1")).to_have_text("halls/+/temp")
    expect(page.locator("[data-f=handled]")).to_have_text("2")
    expect(page.locator("main")).to_contain_text("A listener subscribes to it.")
    expect(page.locator("main")).to_contain_text("Handled by processor")
    expect(page.get_by_role("row").filter(has_text="halls/a/temp")).to_have_count(2)


def test_pausing_stops_delivery_and_resuming_continues_it(visit: NewPage, stack: Stack) -> None:
    """With the reason on the page, and a row for each with the user's name."""
    name = "doors/+"
    page = visit()
    page.goto(queue_page(name))
    page.get_by_label("Reason").fill("the gate is <b>repaired</b>")
    page.get_by_role("button", name="Pause delivery").click()
    expect(page.get_by_role("status").first).to_contain_text("Paused.")
    expect(page.locator("p.ask")).to_contain_text("the gate is <b>repaired</b>")
    stack.publish("doors/1", b"open")
    expect(page.locator("[data-f=waiting]")).to_have_text("1")
    page.get_by_role("button", name="Resume delivery").click()
    stack.wait_for(name, done=1)
    expect(page.locator("[data-f=waiting]")).to_have_text("0")
    expect(page.get_by_role("button", name="Pause delivery")).to_be_visible()
    assert actions(page, "pause", name) == [(USER, f"{name}\nthe gate is <b>repaired</b>", NONE)]
    assert actions(page, "resume", name) == [(USER, name, NONE)]


def test_messages_are_found_by_state_topic_text_and_time(visit: NewPage, stack: Stack) -> None:
    """Each alone and together, and the page says how many it looked at."""
    name = "search/#"
    stack.publish("search/a/1", b"apple 1", b"apple 2")
    stack.publish("search/b/1", b"pear")
    stack.publish("search/b/2", b"no such field", do="reject")
    stack.publish("search/c", b"", do="later")
    stack.wait_for(name, done=3, dead=1, pending=1)
    page = visit()
    rows = page.locator("table.messages tbody tr")

    def find(**asked: str) -> None:
        page.goto(messages_page(name))
        for label, value in asked.items():
            if label == "State":
                page.get_by_role("combobox", name=label).select_option(value)
            else:
                page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**state=**")

    for asked, found in (
        ({"State": "done"}, ["pear", "apple 2", "apple 1"]),
        ({"State": "dead"}, ["no such field"]),
        ({"State": "delayed"}, ["search/c"]),
        ({"Topic": "search/+/1"}, ["pear", "apple 2", "apple 1"]),
        ({"Text": "apple"}, ["apple 2", "apple 1"]),
        ({"From": "1 h", "State": "done", "Text": "apple", "Topic": "search/a/#"}, ["apple 2", "apple 1"]),
        ({"To": "1 h"}, []),
        ({"Text": "Apple"}, []),
    ):
        find(**asked)
        expect(rows).to_have_count(len(found))
        for number, text in enumerate(found):
            expect(rows.nth(number)).to_contain_text(text)
        expect(page.locator("main")).to_contain_text("Looked at")


def test_lists_stand_still_and_offer_what_is_new(visit: NewPage, stack: Stack) -> None:
    """The link leads to a list with the new messages on top."""
    page = visit()
    page.goto(messages_page("halls/+/temp"))
    expect(page.locator("#live .text")).to_have_text("live")
    rows = page.locator("table.messages tbody tr")
    before = rows.count()
    stack.publish("halls/b/temp", b"new 1", b"new 2", b"new 3")
    expect(page.locator("#newer")).to_have_text("3 newer ▸")
    assert rows.count() == before
    page.locator("#newer").click()
    expect(rows.first).to_contain_text("new 3")


def test_workers_say_what_they_do(visit: NewPage, stack: Stack) -> None:
    """A listener and a processor with their process, state and queues."""
    page = visit()
    page.goto("/workers")
    expect(page.locator("h1")).to_have_text("A listener and a processor are at work.")
    listener = page.locator("tr", has_text=f"process {stack.listener.pid} ")
    expect(listener).to_contain_text("connected")
    expect(listener.get_by_role("link")).to_have_text(FILTERS)
    processor = page.locator("tr", has_text=f"process {stack.processor.pid} ")
    expect(processor).to_contain_text("with plant:handle")
    expect(processor.locator("[data-f=in_hand]")).to_have_text("0")


def test_an_empty_queue_that_nobody_fills_is_deleted(visit: NewPage, stack: Stack) -> None:
    """After a page that asks. One that a listener subscribes to has no such button."""
    name = "old/+"
    stack.store.declare(name)
    page = visit()
    page.goto(queue_page("doors/+"))
    expect(page.get_by_role("button", name="Delete this queue…")).to_have_count(0)
    page.goto(queue_page(name))
    page.get_by_role("button", name="Delete this queue…").click()
    expect(page.locator("h1")).to_have_text(f"Delete the queue {name}?")
    page.get_by_role("button", name="Delete the queue").click()
    wait_for(lambda: name not in stack.store.names(), what="the deletion")
    assert actions(page, "delete-queue", name)[0][0] == USER
    page.goto(queue_page(name))
    expect(page.locator("h1")).to_have_text("Not found")


def test_a_reader_is_offered_no_action(browser: Browser, stack: Stack) -> None:
    """Who may only look finds no button that would be refused."""
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        sign_in(page, READER)
        for path in ("/", queue_page("doors/+"), "/dead", "/workers", "/activity"):
            page.goto(path)
            expect(page.locator("main form[method=post]")).to_have_count(0)
        assert not faults
