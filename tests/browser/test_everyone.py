"""Real pages for all readers: with assistive technology, by keyboard alone, on a small screen and without scripts."""

import re

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import NewPage
from browser.places import actions, dead_page, message_page, messages_page, queue_page
from browser.test_looks import violations
from support.stack import USER, Stack

FILTERS = ("hall/+/temp", "keyboard/+", "plain/+")
NAME = "hall/+/temp"
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module", autouse=True)
def _contents(stack: Stack) -> None:
    """Messages in each state, and a group of dead letters in two queues."""
    stack.publish("hall/a/temp", b'{"value": 21.5}', b"text", b"\x00\xff")
    stack.publish("hall/a/temp", *(b"no sensor %d" % number for number in range(3)), do="fail")
    stack.publish("hall/a/temp", b"wait", do="later")
    stack.wait_for(NAME, done=3, dead=3, pending=1)
    stack.store.pause(NAME, "for maintenance")


def pages(stack: Stack) -> tuple[str, ...]:
    """Each page, with something on it."""
    return (
        "/",
        queue_page(NAME),
        messages_page(NAME),
        messages_page(NAME, state="dead"),
        message_page(NAME, stack.newest(NAME)),
        dead_page(NAME),
        "/dead",
        "/workers",
        "/activity",
        "/runbook?name=FmqDeadLetters",
        queue_page("unknown"),
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_real_pages(visit: NewPage, stack: Stack, theme: str) -> None:
    """On a phone and on a desk, in each theme."""
    page = visit(color_scheme=theme)
    for path in pages(stack):
        page.goto(path)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert violations(page) == [], f"{path} at {width}"


@pytest.mark.parametrize(("theme", "width"), [("light", 390), ("dark", 1280)])
def test_axe_finds_nothing_in_dialogs_and_questions(visit: NewPage, theme: str, width: int) -> None:
    """The help for keys, the purge dialog, the page that asks before an operation, and the form that signs in."""
    options = {"color_scheme": theme, "viewport": {"width": width, "height": 800}}
    page = visit(**options)
    page.goto(dead_page(NAME))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Purge…").click()
    expect(page.get_by_role("dialog", name="Delete for good?")).to_be_visible()
    assert violations(page) == []
    page.route("**/api/v1/operations/dry-run", lambda route: route.abort())  # so that a page asks
    page.reload()
    page.get_by_role("button", name="Purge…").click()
    expect(page.locator("h1")).to_have_text("Delete 3 messages for good?")
    assert violations(page) == []
    stranger = visit(storage_state=None, **options)
    stranger.goto("/sign-in")
    assert violations(stranger) == []


def test_nothing_leaves_a_screen_of_320_pixels(visit: NewPage, stack: Stack) -> None:
    """WCAG 1.4.10, with real contents."""
    page = visit(viewport={"width": 320, "height": 640})
    for path in pages(stack):
        page.goto(path)
        assert page.evaluate(_WIDE) <= 0, path


def tab_to(page: Page, name: str) -> None:
    """Press Tab until a link or a button of this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and re.match(name, focused.inner_text()):
            return
    raise AssertionError(f"Tab never comes to {name!r}")


def test_dead_letters_are_requeued_and_purged_by_keyboard_alone(visit: NewPage, stack: Stack) -> None:
    """From the first page on, and the focus is never lost."""
    name = "keyboard/+"
    stack.publish("keyboard/1", *(b"no key %d" % number for number in range(3)), do="reject", until="keys")
    stack.publish("keyboard/2", b"no board", b"no board", do="reject")
    stack.wait_for(name, dead=5)
    stack.touch("keys")
    page = visit()
    page.goto("/")
    tab_to(page, re.escape(name))
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue?**")
    tab_to(page, "Dead letters$")
    tab_to(page, "Dead letters$")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dead?**")
    tab_to(page, "Requeue")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_have_text("Requeued 3 messages.")
    stack.wait_for(name, done=3, dead=2)
    tab_to(page, "Purge…")
    page.keyboard.press("Space")
    expect(page.locator("#purge-cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Purge…")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#purge-cancel")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    stack.wait_for(name, done=3, dead=0)
    page.wait_for_url("**/activity")
    assert [who for who, _what, _count in actions(page, "purge", name)] == [USER]


def test_everything_important_works_without_scripts(visit: NewPage, stack: Stack) -> None:
    """Sign in, pause, resume, search, requeue a group and purge another."""
    name = "plain/+"
    stack.publish("plain/1", *(b"no sensor %d" % number for number in range(4)), do="reject", until="plain")
    stack.publish("plain/2", b"no actor", do="reject")
    stack.wait_for(name, dead=5)
    stack.touch("plain")
    page = visit(java_script_enabled=False)
    page.goto(queue_page(name))
    page.get_by_label("Reason").fill("maintenance")
    page.get_by_role("button", name="Pause delivery").click()
    assert "maintenance" in page.locator("p.ask").inner_text()
    page.get_by_role("button", name="Resume delivery").click()
    assert "Resumed." in page.locator(".said").inner_text()
    page.goto(messages_page(name))
    page.get_by_label("Text", exact=True).fill("sensor 2")
    page.get_by_role("button", name="Search").click()
    assert page.locator("table.messages tbody tr").count() == 1
    page.goto(dead_page(name))
    page.get_by_role("button", name="Requeue").first.click()
    assert page.locator(".said").inner_text() == "Requeued 4 messages."
    stack.wait_for(name, done=4, dead=1)
    page.get_by_role("button", name="Purge…").click()
    assert page.get_by_role("link", name="Download them first").is_visible()
    page.get_by_role("button", name="Delete 1 for good").click()
    stack.wait_for(name, done=4, dead=0)
    page.get_by_role("button", name="Sign out").click()
    assert page.locator("h1").inner_text() == "Sign in to fmq"
