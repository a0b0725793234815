"""What pages show while the store can't be read, and when it can again."""

import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import watched_pages
from fmq.message import Incoming
from fmq.store.backends import open_store
from support.stack import Stack
from support.wait import wait_for

FILTERS = ("kept/+",)
NAME = "kept/+"
SOFT = {"light": "rgb(86, 97, 106)"}
FILES = ("", "-wal", "-shm")


@pytest.fixture
def folder_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A page alone with a store that has three messages: its listener has ended, so the file may go."""
    with Stack(tmp_path_factory.mktemp("store"), FILTERS, users=False, processor=False) as running:
        running.publish("kept/a", b"1", b"2", b"3")
        running.wait_for(NAME, pending=3)
        running.listener.terminate()
        yield running
        assert "Traceback" not in running.web.text


def _gone(stack: Stack) -> Callable[[], None]:
    hidden = stack.folder / "hidden"
    hidden.mkdir()
    for end in FILES:
        stack.database.with_name(stack.database.name + end).rename(hidden / f"store{end}")

    def undo() -> None:
        for end in FILES:
            (hidden / f"store{end}").rename(stack.database.with_name(stack.database.name + end))

    return undo


def _damaged(stack: Stack) -> Callable[[], None]:
    """Another program has written over the file in its place."""
    stack.store.close()
    undo = _gone(stack)
    stack.database.write_bytes(b"not a database at all\n" * 1_000)

    def undo_all() -> None:
        stack.database.unlink()
        undo()

    return undo_all


def is_stale(page: Page) -> None:
    """Wait until the page says that its figures are past, and has greyed them."""
    expect(page.locator("#live .text")).to_have_text("store can't be read")
    row = page.locator(f"tr[data-queue='{NAME}']")
    expect(row.locator("td").nth(1)).to_have_text("3")
    expect(row.locator("td").nth(1)).to_have_css("color", SOFT["light"])
    expect(row.locator("th a")).to_have_css("color", SOFT["light"])


@pytest.mark.parametrize(
    ("fault", "title"),
    [(_gone, "The store does not exist"), (_damaged, "The store can't be read")],
    ids=["gone", "damaged"],
)
def test_an_open_page_greys_its_figures_until_the_store_is_back(
    browser: Browser, folder_stack: Stack, fault: Callable[[Stack], Callable[[], None]], title: str
) -> None:
    """It keeps the last figures with their time, and recovers without a reload. A new page says what to do."""
    with watched_pages(browser, folder_stack.url, color_scheme="light") as (make, faults):
        page, other = make(), make()
        page.goto("/")
        expect(page.locator("#live .text")).to_have_text("live")
        undo = fault(folder_stack)
        is_stale(page)
        other.goto("/")
        expect(other.locator("h1")).to_have_text(title)
        expect(other.locator("section.past")).to_contain_text(re.compile(r"Last figures, of .*\d\d:\d\d"))
        expect(other.locator(".past tbody tr")).to_have_text(re.compile(r"kept/\+\s*3\s*0\s*0"))
        expect(other.locator(".past td").first).to_have_css("color", SOFT["light"])
        other.get_by_role("link", name="What to do").click()
        expect(other.locator("h1")).to_have_text("FmqStoreUnreadable")
        undo()
        expect(page.locator("#live .text")).to_have_text("live")
        expect(page.locator(f"tr[data-queue='{NAME}'] td").nth(1)).not_to_have_css("color", SOFT["light"])
        other.goto("/")
        expect(other.locator("#live .text")).to_have_text("live")
        assert not faults


def test_a_store_that_was_replaced_is_read_anew(browser: Browser, folder_stack: Stack) -> None:
    """The figures are those of the new one, without a reload or a restart."""
    stack = folder_stack
    with open_store(f"sqlite:///{stack.folder}/new.db") as new:
        new.declare(NAME)
        new.put([Incoming(NAME, "kept/b", b"x", 1.0) for _ in range(7)])
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/")
        expect(page.locator("#live .text")).to_have_text("live")
        _gone(stack)
        shutil.move(stack.folder / "new.db", stack.database)
        cell = page.locator(f"tr[data-queue='{NAME}'] td").nth(1)
        expect(cell).to_have_text("7")
        wait_for(lambda: page.locator("#live .text").inner_text() == "live", what="the stream")
        expect(page.locator("#total")).to_have_text("7")
        assert not faults


def test_a_page_shows_a_store_that_comes_later(browser: Browser, folder_stack: Stack) -> None:
    """A listener may start last."""
    stack = folder_stack
    undo = _gone(stack)
    stack.web.terminate()
    stack.web = stack.start_web()
    stack.web.wait_to_say("Serving the web page", 60)
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/")
        expect(page.locator("h1")).to_have_text("The store does not exist")
        expect(page.locator(".past")).to_have_count(0)
        undo()
        page.reload()
        expect(page.locator(f"tr[data-queue='{NAME}']")).to_be_visible()
        assert not faults
