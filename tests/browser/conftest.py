"""A browser, and the pages that it looks at: made-up answers with the headers of the real page, or a whole fmq.

Chromium comes from the system (``apt-get install -y --no-install-recommends chromium``).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, StorageState, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from support.stack import PASSWORD, USER, Stack
from support.wait import wait_for
from support.web.every_page import every_page
from support.web.preview import app

CHROMIUM = "/usr/bin/chromium"
MOST_MB = 120
expect.set_options(timeout=15_000)
NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """Where the made-up pages are."""
    server = uvicorn.Server(uvicorn.Config(app(every_page()), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, what="the preview")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def close_pages(context: BrowserContext) -> None:
    """What a test is done with, once no navigation is under way: Chromium may never answer a request to close a page in the midst of one.

    The context itself ends with the browser, for the same reason.
    """
    for page in context.pages:
        wait_for(lambda page=page: _has_left(page), what="a page to end what it does")  # type: ignore[misc]
        page.close()


def _has_left(page: Page) -> bool:
    try:
        page.goto("about:blank")
    except PlaywrightError:  # another navigation was under way
        return False
    return True


@contextmanager
def watched_pages(browser: Browser, base_url: str, **usual: object) -> Iterator[tuple[NewPage, list[str]]]:
    """Opens each page in a context of its own, and lists what no page may do: fail, ask, break the policy, call others."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def asked(dialog: Dialog) -> None:
        faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def make(**options: object) -> Page:
        own: dict[str, Any] = {"base_url": base_url, "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"}
        context = browser.new_context(**{**own, **usual, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", asked)
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda sent: None if sent.url.startswith((base_url, "data:")) else faults.append(sent.url))
        return page

    try:
        yield make, faults
    finally:
        for context in contexts:
            close_pages(context)


@pytest.fixture
def new_page(browser: Browser, base_url: str) -> Iterator[NewPage]:
    """Opens made-up pages. Fails at the end if one did what no page may do."""
    with watched_pages(browser, base_url) as (make, faults):
        yield make
    assert not faults


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole fmq for the tests of a module: it serves the topic filters in the module's FILTERS."""
    filters: tuple[str, ...] = request.module.FILTERS
    with Stack(tmp_path_factory.mktemp("stack"), filters) as running:
        yield running
        assert running.resident_mb <= MOST_MB
        assert "Traceback" not in running.web.text
        assert not [line for line in running.web.log if line["level"] == "ERROR"]


@pytest.fixture(scope="module")
def session(browser: Browser, stack: Stack) -> StorageState:
    """The cookie of someone who may operate: signing in is slow, and the number of sign-ins in a minute is limited."""
    context = browser.new_context(base_url=stack.url)
    sign_in(context.new_page())
    state = context.storage_state()
    close_pages(context)
    return state


def sign_in(page: Page, user: str = USER, password: str = PASSWORD) -> None:
    """Fill in the form, again if somebody has just failed: an address has to wait then."""
    page.goto("/sign-in")

    def is_in() -> bool:
        page.get_by_label("Name").fill(user)
        page.get_by_label("Password").fill(password)
        with page.expect_navigation():
            page.get_by_role("button", name="Sign in").click()
        return "/sign-in" not in page.url

    wait_for(is_in, what=f"the session of {user}")


@pytest.fixture
def visit(browser: Browser, stack: Stack, session: StorageState) -> Iterator[NewPage]:
    """Opens real pages for someone who may operate. Fails at the end if one did what no page may do."""
    with watched_pages(browser, stack.url, storage_state=session) as (make, faults):
        yield make
    assert not faults
