"""Live figures: how soon a page shows what happens, and what it shows while and after the web page's process is gone."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import NewPage, sign_in, watched_pages
from browser.places import queue_page
from support.stack import Stack
from support.wait import wait_for

FILTERS = ("live/+",)
NAME = "live/+"
SOON, BACK = 2.0, 5.0


@pytest.fixture(scope="module")
def open_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that everybody may look at, without a processor: messages stay. Its web process is killed and replaced."""
    with Stack(tmp_path_factory.mktemp("open"), FILTERS, users=False, processor=False) as running:
        yield running


def is_live(page: Page) -> None:
    """Wait until the page follows the stream."""
    expect(page.locator("#live .text")).to_have_text("live")


def stored_on(page: Page) -> int:
    """The number of stored messages on the overview."""
    return int(page.locator(f"tr[data-queue='{NAME}'] [data-f=stored]").inner_text().replace(",", ""))


def until_shown(page: Page, count: int, deadline: float) -> float:
    """Seconds until the page shows this number."""
    began = time.monotonic()
    wait_for(lambda: stored_on(page) == count, deadline, what=f"{count} stored on the page")
    return time.monotonic() - began


def test_what_is_published_is_on_the_page_within_two_seconds(visit: NewPage, stack: Stack) -> None:
    """From before the publication to the figure, broker and store and stream included; each of several times."""
    page = visit()
    page.goto("/")
    is_live(page)
    taken = []
    for _ in range(5):
        count = stored_on(page) + 1
        began = time.monotonic()
        stack.publish("live/a", b"1")
        until_shown(page, count, 15)
        taken.append(time.monotonic() - began)
    print(f"publish to page: {', '.join(f'{one:.2f}' for one in taken)} s")  # noqa: T201 - shown by pytest -rP
    assert sorted(taken)[2] < SOON
    expect(page.locator("#total")).to_have_text(str(stored_on(page)))


def test_a_pause_by_a_command_is_on_the_page_within_two_seconds(visit: NewPage, stack: Stack) -> None:
    """Reasons are live, too, and a change for the worse is read aloud."""
    page = visit()
    page.goto("/")
    is_live(page)
    why = page.locator(f"tr[data-queue='{NAME}'] .why")
    expect(why).to_be_empty()
    began = time.monotonic()
    stack.store.pause(NAME, "by a command")
    expect(why.get_by_role("link")).to_have_text(re.compile("has been paused"))
    assert time.monotonic() - began < 2 * SOON
    stack.store.resume(NAME)
    expect(why).to_be_empty()


def test_two_browsers_see_the_same(visit: NewPage, stack: Stack) -> None:
    """What one does is on the other's page without a reload."""
    first, second = visit(), visit()
    for page in (first, second):
        page.goto(queue_page(NAME))
        is_live(page)
    stack.publish("live/b", b"1", b"2")
    expected = str(stack.wait_for(NAME, pending=0, claimed=0).stored)
    for page in (first, second):
        expect(page.locator("[data-f=stored]")).to_have_text(expected)
    first.get_by_role("button", name="Pause delivery").click()
    expect(second.locator("[data-needs]")).to_contain_text("has been paused")
    first.get_by_role("button", name="Resume delivery").click()


def test_readers_that_take_nothing_delay_no_one(visit: NewPage, stack: Stack) -> None:
    """Ten streams whose clients read nothing, and one that never ends its request."""
    cookie = visit().context.cookies()[0]
    with ExitStack() as ends:
        for _ in range(10):
            slow = ends.enter_context(socket.create_connection(("127.0.0.1", stack.port)))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            head = (
                f"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie['name']}={cookie['value']}\r\n\r\n"
            )
            slow.sendall(head.encode())
        unfinished = ends.enter_context(socket.create_connection(("127.0.0.1", stack.port)))
        unfinished.sendall(b"GET / HTTP/1.1\r\n")
        page = visit()
        page.goto("/")
        is_live(page)
        taken = []
        for _ in range(3):
            stack.publish("live/c", *(b"1" for _ in range(100)))
            taken.append(until_shown(page, stored_on(page) // 100 * 100 + 100 + stored_on(page) % 100, 15))
        assert sorted(taken)[1] < SOON


def test_a_page_is_right_again_soon_after_the_process_returns(browser: Browser, open_stack: Stack) -> None:
    """Killed, it leaves a page that says so. Within five seconds of its return the page is right, without a reload."""
    stack = open_stack
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/")
        is_live(page)
        mark = page.locator("h1").element_handle()
        stack.web.kill()
        expect(page.locator("#live .text")).to_have_text("reconnecting")
        stack.publish("live/d", b"1", b"2", b"3")
        expected = stack.wait_for(NAME, pending=3).stored
        stack.web = stack.start_web()
        stack.web.wait_to_say("Serving the web page", 60)
        taken = until_shown(page, expected, 30)
        print(f"right {taken:.2f} s after the return")  # noqa: T201 - shown by pytest -rP
        is_live(page)
        assert taken < BACK
        assert mark.is_visible(), "the page was loaded again"
        assert not faults


def test_an_orderly_restart_says_goodbye(browser: Browser, open_stack: Stack) -> None:
    """The page connects again, too, after SIGTERM."""
    stack = open_stack
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/")
        is_live(page)
        assert stack.web.terminate() == 0
        expect(page.locator("#live .text")).to_have_text("reconnecting")
        stack.web = stack.start_web()
        stack.web.wait_to_say("Serving the web page", 60)
        began = time.monotonic()
        is_live(page)
        assert time.monotonic() - began < BACK
        assert not faults


def test_a_restart_ends_sessions_and_the_page_says_so(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Sessions are kept in memory only. Figures that are no longer right are greyed, and a reload asks to sign in."""
    with (
        Stack(tmp_path_factory.mktemp("users"), FILTERS, processor=False) as stack,
        watched_pages(browser, stack.url, color_scheme="light") as (make, faults),
    ):
        page = make()
        sign_in(page)
        is_live(page)
        stack.web.kill()
        stack.web = stack.start_web()
        expect(page.locator("#live .text")).to_have_text("signed out")
        expect(page.locator("h1")).to_have_css("color", "rgb(86, 97, 106)")
        page.reload()
        expect(page.locator("h1")).to_have_text("Sign in to fmq")
        assert not faults
