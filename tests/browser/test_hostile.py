"""What anyone may send or name is shown as text, on every page that shows it, and does nothing."""

import subprocess
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import NewPage, watched_pages
from browser.places import dead_page, message_page, messages_page, queue_page
from fmq.store.records import ServiceReport
from support.processes import FMQ
from support.stack import Stack
from support.web.hostile import BYTES, HOST_OF_TEST, NEVER, TEXTS

FILTERS = (*(f"{text}/+" for text in TEXTS), "bytes/+", "long/#")
_NUMBER = "9" * 400


def queue_of(text: str) -> str:
    """The queue whose name has this text."""
    return f"{text}/+"


def problems(page: Page, shown: str) -> list[str]:
    """What is wrong with a page that should show this text."""
    found = [] if shown in page.locator("main").inner_text() else [f"{shown!r} is not shown on {page.url[:200]}"]
    return found + [
        f"{html[:80]} on {page.url[:200]}" for html in page.locator("main").locator(NEVER).evaluate_all(_HTML)
    ]


_HTML = "found => found.map(one => one.outerHTML)"


@pytest.fixture(scope="module", autouse=True)
def _letters(stack: Stack) -> None:
    """A dead letter for each text, which is its queue's name, topic, payload, properties and reason."""
    for text in TEXTS:
        stack.publish(f"{text}/{text.replace('/', '|')}", text.encode(), do="reject", **{text: text})
    for text in TEXTS:
        stack.wait_for(queue_of(text), dead=1)


def test_pages_of_all_queues_show_each_text(visit: NewPage) -> None:
    """As the name of a queue, and as the reason of a group."""
    page = visit()
    for path in ("/", "/dead", "/workers"):
        page.goto(path)
        for shown in TEXTS.values():
            assert problems(page, shown) == []
    page.goto("/")
    expect(page.locator("#live .text")).to_have_text("live")
    for shown in TEXTS.values():
        expect(page.get_by_role("link", name=f"{shown}/+", exact=True)).to_have_count(1)


def test_pages_of_a_queue_show_its_text(visit: NewPage, stack: Stack) -> None:
    """As its name, topic, payload, property, reason, and as what somebody looks for."""
    page = visit()
    for text, shown in TEXTS.items():
        name = queue_of(text)
        page.goto(queue_page(name))
        assert problems(page, shown) == []
        expect(page.locator("h1")).to_have_text(f"{shown}/+")
        page.goto(messages_page(name, state="dead", reason=text, text=text, topic=f"{text}/#"))
        assert problems(page, shown) == []
        row = page.locator("table.messages tbody tr")
        expect(row.locator(".reason")).to_contain_text(shown)
        expect(row.locator(".head")).to_have_text(shown)
        page.goto(message_page(name, stack.newest(name)))
        assert problems(page, shown) == []
        assert page.locator("#payload-text").inner_text() == shown
        expect(page.locator("dt.user").last).to_have_text(shown)
        expect(page.locator("dt.user + dd").last).to_have_text(shown)
        expect(page.locator("table.attempts td.reason")).to_contain_text(shown)


def test_what_operators_do_shows_texts_as_text(visit: NewPage) -> None:
    """The purge dialog, the reason of a pause, the activity, and the page of a queue that does not exist."""
    page = visit()
    for text in list(TEXTS)[1::4]:
        name, shown = queue_of(text), TEXTS[text]
        page.goto(dead_page(name))
        page.get_by_role("button", name="Purge…").click()
        expect(page.locator("#purge-what")).to_contain_text(f"1 dead letter of {shown}/+: dead, group")
        page.get_by_role("button", name="Keep them").click()
        page.goto(queue_page(name))
        page.get_by_label("Reason").fill(text)
        page.get_by_role("button", name="Pause delivery").click()
        expect(page.locator("p.ask")).to_contain_text(shown)
        assert problems(page, shown) == []
        page.get_by_role("button", name="Resume delivery").click()
        page.goto("/activity")
        assert problems(page, shown) == []
        page.goto(queue_page(f"{text} unknown"))
        expect(page.locator("h1")).to_have_text("Not found")
        assert problems(page, "") == []


@pytest.mark.parametrize("payload", BYTES)
def test_bytes_are_shown_as_marked_escapes_or_numbers(visit: NewPage, stack: Stack, payload: bytes) -> None:
    """Control characters of payloads and of reasons move nothing and hide nothing; the download has the bytes."""
    stack.deliver("bytes/+", "bytes/1", payload, do="reject")
    page = visit()
    page.goto(message_page("bytes/+", stack.newest("bytes/+")))
    expect(page.locator("#payload-text")).to_contain_text(BYTES[payload])
    for path in (messages_page("bytes/+"), dead_page("bytes/+")):
        page.goto(path)
        assert problems(page, BYTES[payload] if "messages" in path else "") == []


@pytest.mark.parametrize(
    ("payload", "kind", "shown"),
    [
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "text", "[" * 60_000, id="nested"),
        pytest.param(f'{{"n": {_NUMBER}, "m": -0.{_NUMBER}e{_NUMBER}}}'.encode(), "JSON", _NUMBER, id="digits"),
        pytest.param(b"<script>alert(1)</script>" * 419_431, "text", "<script>alert(1)</script>" * 2_000, id="10 MiB"),
    ],
)
def test_large_and_deep_payloads_stay_a_small_page(
    visit: NewPage, stack: Stack, payload: bytes, kind: str, shown: str
) -> None:
    """64 KiB at a time, numbers as they came, and the download is complete."""
    stack.deliver("long/#", "long/payload", payload)
    page = visit()
    page.goto(message_page("long/#", stack.newest("long/#")))
    expect(page.locator("#payload ~ span")).to_contain_text(f", as {kind}")
    assert problems(page, shown) == []
    with page.expect_download() as waited:
        page.get_by_role("link", name="Download all").click()
    assert waited.value.path().read_bytes() == payload


def test_the_longest_topic_is_shown_in_full_and_widens_no_page(visit: NewPage, stack: Stack) -> None:
    """65,535 bytes, as much as MQTT allows: the beginning in lists, all of it on its own page."""
    start = "long/<script>alert(1)</script>/"
    topic = start + "x" * (65_535 - len(start))
    stack.deliver("long/#", topic, b"1")
    page = visit(viewport={"width": 1280, "height": 800})
    for path, part in (
        (messages_page("long/#"), f"{topic[:120]}… (65,535 characters)"),
        (queue_page("long/#"), f"{topic[:120]}… (65,535 characters)"),
        (message_page("long/#", stack.newest("long/#")), topic),
    ):
        page.goto(path)
        assert problems(page, part) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.fixture
def strange_processor(stack: Stack) -> Iterator[str]:
    """A processor on a machine with a hostile name. Returns the name."""
    host = "<script>alert(1)</script>\u202e"
    (stack.folder / "site").mkdir(exist_ok=True)
    (stack.folder / "site/sitecustomize.py").write_text(HOST_OF_TEST)
    process = stack.process("strange/+", PYTHONPATH=stack.folder / "site", TEST_HOST=host)
    process.wait_to_say("Starting processor", 60)
    yield host
    process.terminate()


def test_names_of_machines_and_users_are_shown_as_text(visit: NewPage, stack: Stack, strange_processor: str) -> None:
    """Those of a worker, on its page and in attempts, and that of the user of a command."""
    shown = strange_processor.replace("\u202e", r"\u202e")
    stack.store.declare("strange/+")
    environ = {
        "LOGNAME": "<img src=x onerror=alert(1)>",
        "PYTHONPATH": str(stack.folder / "site"),
        "TEST_HOST": strange_processor,
    }
    subprocess.run([FMQ, "pause", "strange/+"], cwd=stack.folder, env=environ, check=True, capture_output=True)
    page = visit()
    for path, part in (
        ("/activity", f"<img src=x onerror=alert(1)>@{shown}"),
        ("/workers", shown),
        (queue_page("strange/+"), shown),
    ):
        page.goto(path)
        assert problems(page, part) == []


def test_what_a_worker_says_later_is_shown_as_text(visit: NewPage, stack: Stack) -> None:
    """An open page takes the words of its workers from the server, with every mark, by a way that its policy allows."""
    page = visit()
    for text, shown in list(TEXTS.items())[::3]:

        def report(circuit: str) -> None:
            state = {"handler": "webhook", "circuit": circuit, "in_hand": 0}
            stack.store.report(ServiceReport("later", "processor", "here", 1, "1", time.time(), state))

        report("closed")
        page.goto("/workers")
        row = page.locator("tr", has=page.get_by_text("later", exact=True))
        expect(row.locator("td").first).to_have_text("at work")
        expect(page.locator("#live")).to_have_attribute("data-is", "live")
        report(f"open: {text}")
        expect(row.locator("td").first).to_have_text(f"open: {shown}")
        assert problems(page, shown) == []


def test_the_sign_in_page_shows_what_was_typed_as_text(browser: Browser, stack: Stack) -> None:
    """A name, and an address to go on with that is not of this site."""
    with watched_pages(browser, stack.url) as (make, faults):
        page = make()
        page.goto("/sign-in?next=//evil.example/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        assert page.locator("[name=next]").get_attribute("value") == "/"
        page.get_by_label("Name").fill('"><script>alert(1)</script>')
        page.get_by_label("Password").fill("wrong password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Name")).to_have_value('"><script>alert(1)</script>')
        assert problems(page, "") == []
        assert not faults
