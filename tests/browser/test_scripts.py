"""What the scripts do: figures as the server writes them, live figures, times, keys, the filter and the purge dialog."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from browser.conftest import NewPage
from fmq_web.answers.live import LiveState, LiveSummary, LiveTick
from fmq_web.answers.queues import Counts
from fmq_web.pages import assets, figures
from support.wait import wait_for
from support.web.activity import operation, services
from support.web.queues import need, overview
from support.web.texts import NAMES, NOW, Texts

_NUMBERS = [
    0,
    1,
    4.2,
    9.94,
    9.96,
    10,
    0.04,
    0.05,
    59.9,
    60,
    999,
    1000,
    3599,
    3600,
    86400,
    9999,
    10000,
    1234567,
    1e9,
    5e12,
]


def state(**changed: Any) -> LiveState:  # noqa: ANN401 - fields of the first queue
    """Everything, with some figures of the first queue changed."""
    whole = overview()
    fields = Counts.model_fields
    queues = [Counts.model_validate({name: getattr(row, name) for name in fields}) for row in whole.queues]
    queues[0] = queues[0].model_copy(update=changed)
    return LiveState(
        version="1",
        at=NOW + 60,
        queues=queues,
        services=services(Texts()).services,
        operations=[operation(Texts())],
        whole=LiveSummary(
            summary="All is well.", detail="No message waits.", needs=[], sizes=whole.sizes, total_stored=99
        ),
    )


def stream(page: Page, *events: tuple[str, str]) -> None:
    """Answers the page's stream with these events; then it goes on trying."""
    body = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events)
    page.route("**/api/v1/stream", lambda route: route.fulfill(content_type="text/event-stream", body=body))


def test_figures_read_the_same_in_python_and_javascript(new_page: NewPage) -> None:
    """Else numbers would change their look with the first tick."""
    page = new_page()
    page.goto("/overview")
    for name in ("count", "capped", "rate", "duration", "precise", "size"):
        numbers = [int(one) if name in {"count", "capped", "size"} else one for one in _NUMBERS]
        expected = [getattr(figures, name)(one) for one in numbers]
        script = f"async (numbers) => numbers.map((await import('{assets.path_of('figures.js')}')).{name})"
        assert page.evaluate(script, numbers) == expected, name


def test_only_numbers_move(new_page: NewPage) -> None:
    """Figures follow the stream; rows stay where they are, and a new queue is a link."""
    page = new_page()
    data = state(waiting=77, dead=0, needs=[])
    new = data.queues[1].model_copy(update={"name": "brand/new"})
    data = data.model_copy(update={"queues": [*data.queues, new]})
    stream(page, ("state", data.model_dump_json()))
    page.goto("/overview")
    first = page.locator("tr[data-queue=alarms]")
    expect(first.locator("td").nth(1)).to_have_text("77")
    expect(first.locator("td").nth(8)).to_have_class("zero")
    expect(first.locator(".why")).to_be_empty()
    expect(page.locator("h1")).to_have_text("All is well.")
    expect(page.locator("#newcomers")).to_have_text("1 new queue ▸")
    assert page.locator("#queues tbody tr").count() == len(NAMES)


def test_what_a_worker_says_of_itself_follows_the_stream(new_page: NewPage) -> None:
    """Numbers by the stream; words as the server writes them, once they have changed, also where it fails at first."""
    page = new_page()
    asked: list[str] = []

    def answer(route: Route) -> None:
        if route.request.resource_type != "xhr":
            return route.continue_()
        asked.append("xhr")
        if len(asked) == 1:
            return route.fulfill(status=503)
        body = route.fetch().text().replace("in hand, at most", "in hand, circuit open: <b>no</b>, at most")
        return route.fulfill(body=body, content_type="text/html")

    before = state()
    worker = next(one for one in before.services if one.routes and not one.circuit)
    limited = worker.routes[0].model_copy(update={"in_hand": 31, "circuit": "open: no"})
    changed = worker.model_copy(update={"in_hand": 56, "routes": [limited, *worker.routes[1:]]})
    after = before.model_copy(update={"services": [changed]})
    page.route("**/workers", answer)
    stream(page, ("state", before.model_dump_json()), ("workers", after.model_dump_json(include={"services"})))
    page.goto("/workers")
    row = page.locator("tr", has=page.locator("[data-f=in_hand]", has_text="56"))
    expect(row.locator("[data-route]").first).to_have_text("31")
    expect(row.locator("li").first).to_contain_text("circuit open: no")
    expect(row.locator("th time")).not_to_contain_text("UTC")  # a time in the reader's zone, as before
    assert len(asked) > 1


def test_a_worker_that_went_away_while_the_page_came_is_noticed(new_page: NewPage) -> None:
    """What the first news says counts, not only what changes later."""
    page = new_page()
    first = state()
    gone = [one.model_copy(update={"away": True, "circuit": ""}) for one in first.services]
    stream(page, ("state", first.model_copy(update={"services": gone}).model_dump_json()))
    with page.expect_request(lambda sent: sent.resource_type == "xhr" and sent.url.endswith("/workers")):
        page.goto("/workers")


def test_a_change_of_severity_is_read_aloud_and_figures_are_not(new_page: NewPage) -> None:
    """A live region that speaks each second is switched off by everyone who needs it."""
    page = new_page()
    first = state()
    same = LiveTick(at=NOW + 61, queues=[first.queues[0].model_copy(update={"waiting": 5})], whole=None)
    stream(page, ("state", first.model_dump_json()), ("tick", same.model_dump_json()))
    page.goto("/overview")
    expect(page.locator("tr[data-queue=alarms] td").nth(1)).to_have_text("5")
    expect(page.locator("#severity")).to_be_empty()
    well = LiveTick(at=NOW + 62, queues=[first.queues[0].model_copy(update={"needs": []})], whole=first.whole)
    stream(page, ("state", first.model_dump_json()), ("tick", well.model_dump_json()))
    expect(page.locator("#severity")).to_have_text("All is well.")


def test_a_hostile_name_in_the_stream_stays_text(new_page: NewPage) -> None:
    """The stream is from outside, too."""
    page = new_page()
    bad = "<img src=x onerror=alert(1)>"
    wrong = need("dead", bad, "ask", bad)
    data = state(needs=[wrong]).model_dump()
    data["whole"] |= {"summary": bad, "detail": bad, "needs": [wrong.model_dump()]}
    stream(page, ("state", json.dumps(data)))
    page.goto("/overview")
    expect(page.locator("h1")).to_have_text(bad)
    expect(page.locator("tr[data-queue=alarms] .why a")).to_have_text(bad)
    assert page.locator("main img").count() == 0


def test_without_a_stream_it_asks_now_and_then(new_page: NewPage) -> None:
    """503: too many streams are open."""
    page = new_page()
    page.route("**/api/v1/stream", lambda route: route.fulfill(status=503))
    page.route("**/api/v1/overview", lambda route: route.fulfill(json=json.loads(overview().model_dump_json())))
    page.goto("/overview")
    expect(page.locator("#live .text")).to_have_text("every 5 s")


def test_the_reader_can_stop_it(new_page: NewPage) -> None:
    """WCAG 2.2.2: what moves without being asked can be stopped."""
    page = new_page()
    stream(page, ("state", state().model_dump_json()))
    page.goto("/overview")
    page.locator("#live").click()
    expect(page.locator("#live .text")).to_have_text("paused")
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "false")


def test_a_new_message_is_a_link_and_moves_nothing(new_page: NewPage) -> None:
    """A list that moves under the mouse opens the wrong message."""
    page = new_page()
    first = state()
    tick = LiveTick(
        at=NOW + 61, queues=[first.queues[0].model_copy(update={"stored": first.queues[0].stored + 12})], whole=None
    )
    stream(page, ("state", first.model_dump_json()), ("tick", tick.model_dump_json()))
    page.goto("/messages")
    expect(page.locator("#newer")).to_have_text("12 newer ▸")


def test_times_are_local_with_utc_on_hover_and_a_switch(new_page: NewPage) -> None:
    """The choice survives the page."""
    page = new_page()
    page.goto("/message")
    time = page.locator("time[datetime]").first
    expect(time).to_have_text(re.compile("^(2026-11-29 )?11:29:33$"))  # without the date on that day
    expect(time).to_have_attribute("title", "2026-11-29 10:29:33 UTC")
    page.locator("#zone").click()
    expect(time).to_have_text("2026-11-29 10:29:33 UTC")
    page.goto("/queue")
    expect(page.locator("#zone")).to_have_text("Times: UTC")


def test_keys_go_places_and_can_be_switched_off(new_page: NewPage) -> None:
    """WCAG 2.1.4."""
    page = new_page()
    page.goto("/overview")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tbody tr").nth(1).locator("a.row")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("tbody tr").nth(0).locator("a.row")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("gd?")
    expect(page.locator("#filter")).to_have_value("gd?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#keys-on").uncheck()
    page.locator("#keys button").click()
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert page.url.endswith("/overview")
    page.locator("#keys-on").check()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()

    def went() -> bool:  # the two keys count only if they come within 1.5 s, which a busy machine may miss
        page.keyboard.press("g")
        page.keyboard.press("d")
        return page.url.endswith("/dead")

    wait_for(went, what="the dead letters")


def test_a_key_counts_right_after_the_help_is_closed(new_page: NewPage) -> None:
    """Though its dialog has the focus until the browser draws the page again."""
    page = new_page()
    page.goto("/overview")
    page.keyboard.press("?")
    page.locator("#keys-on").focus()
    opened = page.evaluate(
        """() => {
          const help = document.getElementById("keys");
          const field = document.activeElement;
          help.close();
          field.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
          return help.open;
        }"""
    )
    assert opened


def test_the_filter_hides_other_queues(new_page: NewPage) -> None:
    """And says how many are left."""
    page = new_page()
    page.goto("/overview")
    page.locator("#filter").fill("SENSORS")
    expect(page.locator("tbody tr").filter(visible=True)).to_have_count(2)
    expect(page.locator("#filtered")).to_have_text("2 of 12 queues")


@pytest.mark.parametrize("answers", [True, False], ids=["with the API", "without it"])
def test_a_purge_asks_and_names_the_number(new_page: NewPage, *, answers: bool) -> None:
    """By keyboard alone. Without the API the form goes its way, and a page asks."""
    page = new_page()
    asked: list[Any] = []
    run = {"token": "t0ken", "kind": "purge", "queue": "alarms", "selection": "dead", "count": 1190, "more": False}

    def dry_run(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json=run) if answers else route.fulfill(status=500)

    def started(route: Route) -> None:
        asked.append(route.request.post_data)
        route.fulfill(body="started")

    page.route("**/api/v1/operations/dry-run", dry_run)
    page.route("**/operations/start", started)
    page.route("**/operations/preview?**", lambda route: route.fulfill(body="a page asks"))
    page.goto("/dead")
    page.locator("form[data-purge] button").first.press("Enter")
    if not answers:
        expect(page.locator("body")).to_have_text("a page asks")
        return
    expect(page.locator("#purge-cancel")).to_be_focused()  # not the dangerous one
    expect(page.locator("#purge-go")).to_have_text("Delete 1,190 for good")
    assert asked[0] == {"kind": "purge", "queue": "alarms", "selection": {"fingerprint": Texts().fingerprint}}
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_text("started")
    assert asked[1] == "token=t0ken"


def test_scripts_are_few() -> None:
    """No build step and no framework: about 500 lines."""
    lines = sum(one.content.count(b"\n") for name, one in assets.FILES.items() if Path(name).suffix == ".js")
    assert lines < 600
