"""How much a browser has to load, as transferred."""

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import MOST_MB, NewPage, watched_pages
from support.stack import Stack

FILTERS = tuple(f"plant/line-{number}/+/temperature" for number in range(100))
FIRST_KB, PAGE_KB = 200, 150


class Meter:
    """Counts the bytes of each answer, as they came over the network."""

    def __init__(self, page: Page) -> None:
        self.bytes: dict[str, float] = {}
        self._urls: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceived", self._came)
        session.on("Network.loadingFinished", self._ended)

    def _came(self, event: dict[str, object]) -> None:
        response = event["response"]
        assert isinstance(response, dict)
        self._urls[str(event["requestId"])] = response["url"]

    def _ended(self, event: dict[str, object]) -> None:
        url = self._urls.get(str(event["requestId"]))
        if url is not None:
            self.bytes[url] = float(str(event["encodedDataLength"]))


@pytest.fixture(scope="module")
def busy(stack: Stack) -> Stack:
    """Each queue has messages."""
    for number in range(100):
        stack.publish(f"plant/line-{number}/sensor/temperature", b"21.5", b"21.6")
    for name in FILTERS:
        stack.wait_for(name, stored=2, pending=0, claimed=0)
    return stack


def test_pages_with_a_hundred_queues_are_light(visit: NewPage, busy: Stack) -> None:
    """The HTML of each page, and of all that the first one loads."""
    page = visit()
    meter = Meter(page)
    page.goto("/", wait_until="load")
    expect(page.locator("#live .text")).to_have_text("live")
    expect(page.locator("#queues tbody tr")).to_have_count(100)
    whole = sum(meter.bytes.values()) / 1e3
    pages = {path: weight(page, path) for path in ("/", "/dead", "/workers", "/activity")}
    print({**pages, "first load": round(whole, 1), "RSS in MB": round(busy.resident_mb, 1)})  # noqa: T201 - shown by -rP
    assert max(pages.values()) <= PAGE_KB
    assert whole <= FIRST_KB
    assert busy.resident_mb <= MOST_MB


def weight(page: Page, path: str) -> float:
    """KB of the HTML of a page."""
    meter = Meter(page)
    page.goto(path, wait_until="load")
    [found] = [size for url, size in meter.bytes.items() if url.partition("#")[0].endswith(path)]
    return round(found / 1e3, 1)


def test_the_first_load_is_light(browser: Browser, busy: Stack) -> None:
    """The first page that anyone loads is the form that signs in, with style, scripts and fonts."""
    with watched_pages(browser, busy.url) as (make, faults):
        page = make()
        meter = Meter(page)
        page.goto("/", wait_until="networkidle")
        whole = sum(meter.bytes.values()) / 1e3
        print({url.rpartition("/")[2]: size for url, size in meter.bytes.items()})  # noqa: T201 - shown by -rP
        assert any(url.endswith(".woff2") for url in meter.bytes)
        assert whole <= FIRST_KB
        assert not faults
