"""Messages and dead letters on real pages: what happened to them, and how they are handled again, downloaded and deleted."""

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from browser.conftest import NewPage
from browser.places import actions, dead_page, message_page, messages_page, queue_page
from support.stack import USER, Stack
from support.wait import wait_for

FILTERS = ("jobs/+", "forms/+", "group/+", "slow/+", "purge/+", "keys/+", "ticks/+", "whole/+")


def download(page: Page, name: str) -> bytes:
    """What a link downloads."""
    with page.expect_download() as waited:
        page.get_by_role("link", name=name).first.click()
    return Path(waited.value.path()).read_bytes()


def test_a_message_shows_its_failed_attempts_and_is_handled_again(visit: NewPage, stack: Stack) -> None:
    """Each attempt with its number, cause, reason and worker. Requeued, it succeeds, and can be handled once more."""
    name = "jobs/+"
    stack.publish("jobs/7", b"the printer is out of paper", do="fail", until="paper", order="A-1")
    stack.wait_for(name, dead=1)
    page = visit()
    page.goto(message_page(name, stack.newest(name)))
    expect(page.locator("h1")).to_contain_text("is a dead letter after 3 failed attempts")
    expect(page.locator("p.reason")).to_contain_text("ValueError: the printer is out of paper")
    expect(page.locator("ol.life li").first).to_contain_text("Received with 27 bytes, QoS 1")
    rows = page.locator("table.attempts tbody tr")
    expect(rows).to_have_count(3)
    for number in range(3):
        cells = rows.nth(number).locator("td")
        expect(cells.nth(0)).to_have_text(str(number + 1))
        expect(cells.nth(2)).to_have_text("exception")
        expect(cells.nth(3)).to_contain_text("ValueError: the printer is out of paper")
        expect(cells.nth(4)).to_contain_text(f"/{stack.processor.pid}")
    properties = page.get_by_role("region", name="Properties")
    expect(properties.locator("dt.user")).to_have_text(["do", "until", "order"])
    expect(properties.locator("dt.user + dd")).to_have_text(["fail", "paper", "A-1"])
    stack.touch("paper")
    page.get_by_role("button", name="Requeue").click()
    stack.wait_for(name, done=1)
    page.reload()
    expect(page.locator("h1")).to_contain_text("was handled")
    page.get_by_role("button", name="Handle again").click()
    wait_for(lambda: stack.store.stats(name).handled == 2, what="the second handling")
    rows_of_audit = actions(page, "handle-again", name)
    assert [(who, count) for who, _what, count in rows_of_audit] == [(USER, "1"), (USER, "1")]


def test_a_payload_is_shown_as_json_text_or_hexadecimal_numbers(visit: NewPage, stack: Stack) -> None:
    """Exactly as it was published, and the download has the same bytes."""
    name = "forms/+"
    page = visit()
    for payload, kind, shown in (
        (b'{"value": 0.1000, "big": 1e400, "list": [1,2]}', "JSON", '"value": 0.1000,\n  "big": 1e400,'),
        ("zwölf Grad\nund mehr".encode(), "text", "zwölf Grad\nund mehr"),
        (b"\x00\xff\x10fmq", "hexadecimal", "00 ff 10 66 6d 71"),
    ):
        stack.deliver(name, "forms/1", payload)
        page.goto(message_page(name, stack.newest(name)))
        expect(page.locator("#payload ~ span")).to_contain_text(f", as {kind}")
        assert shown in page.locator("#payload-text").inner_text()
        assert download(page, "Download all") == payload


def test_a_large_payload_is_shown_in_parts(visit: NewPage, stack: Stack) -> None:
    """64 KiB at a time, with links to those before and after."""
    name = "forms/+"
    payload = b"".join(b"line %06d\n" % number for number in range(10_000))
    stack.deliver(name, "forms/2", payload)
    page = visit()
    page.goto(message_page(name, stack.newest(name)))
    text = page.locator("#payload-text")
    expect(text).to_contain_text("line 000000")
    parts = page.get_by_role("navigation", name="Parts of the payload")
    expect(parts).to_contain_text("Bytes 0 to 65,536 of 120,000")
    parts.get_by_role("link", name="After").click()
    expect(text).to_contain_text("line 009999")
    expect(parts.get_by_role("link", name="After")).to_have_count(0)
    parts.get_by_role("link", name="Before").click()
    expect(text).to_contain_text("line 000000")


def test_dead_letters_come_in_groups_and_a_small_group_is_requeued_at_once(visit: NewPage, stack: Stack) -> None:
    """Numbers don't tell reasons apart. Only the group whose button was pressed goes back."""
    name = "group/+"
    stack.publish("group/1", *(b"no sensor %d" % number for number in range(12)), do="reject", until="sensors")
    stack.publish("group/2", b"not a number", do="reject")
    stack.wait_for(name, dead=13)
    page = visit()
    page.goto(dead_page(name))
    expect(page.locator("h1")).to_have_text("13 dead letters, in two groups")
    groups = page.locator(".groups > li")
    expect(groups.locator(".count")).to_have_text(["12", "1"])
    expect(groups.nth(0).locator("h2")).to_have_text(re.compile("no sensor \u2039"))
    lines = download(page, "Download").splitlines()
    assert len(lines) == 12
    assert {json.loads(line)["topic"] for line in lines} == {"group/1"}
    groups.nth(0).get_by_role("link", name="Show").click()
    expect(page.locator("table.messages tbody tr")).to_have_count(12)
    page.go_back()
    stack.touch("sensors")
    groups.nth(0).get_by_role("button", name="Requeue").click()
    expect(page.get_by_role("status").first).to_have_text("Requeued 12 messages.")
    stack.wait_for(name, done=12, dead=1)
    expect(groups.locator(".count")).to_have_text(["1"])
    [(who, _what, count)] = actions(page, "requeue", name)
    assert (who, count) == (USER, "12")


def test_a_large_group_is_requeued_at_a_rate_with_progress(visit: NewPage, stack: Stack) -> None:
    """First the number, then its progress on the page without a reload; cancelling keeps what was changed."""
    name = "slow/+"
    stack.publish("slow/1", *(b"no sensor %d" % number for number in range(150)), do="reject", until="slow-sensors")
    stack.wait_for(name, dead=150)
    stack.touch("slow-sensors")
    page = visit()
    page.goto(dead_page(name))
    page.get_by_role("button", name="Requeue…").click()
    expect(page.locator("h1")).to_have_text("Requeue 150 messages?")
    stack.publish("slow/1", b"no sensor 151", do="reject")
    stack.wait_for(name, dead=151)
    page.get_by_label("At most").fill("20")
    page.get_by_role("button", name="Requeue 150").click()
    operation = page.locator(".operation").filter(has_text=name)
    progress = operation.locator("[data-progress]")
    expect(progress).to_have_text(re.compile(r"^[1-9]\d? of 150"))
    first = int(progress.inner_text().split()[0])
    expect(progress).not_to_have_text(f"{first} of 150")
    assert operation.get_by_role("progressbar").evaluate("bar => bar.value") > first
    operation.get_by_role("button", name="Cancel").click()
    expect(operation.locator("[data-state]")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    changed = stack.wait_for(name, pending=0, claimed=0).done
    assert first < changed < 150
    expect(progress).to_have_text(f"{changed} of 150")
    [(who, _what, count)] = actions(page, "requeue", name)
    assert (who, count) == (USER, str(changed))
    page.goto(dead_page(name))
    page.get_by_role("button", name="Requeue").click()
    if page.locator("h1").inner_text().startswith("Requeue"):
        page.locator("form.confirm button").click()
    # The one that came later is rejected by the handler for good: it had no file to wait for.
    stack.wait_for(name, done=150, dead=1)


def test_a_group_is_purged_by_a_dialog_that_offers_the_download(visit: NewPage, stack: Stack) -> None:
    """Keeping them is what happens unless one chooses otherwise. Those that come meanwhile stay."""
    name = "purge/+"
    stack.publish("purge/1", *(b"no sensor %d" % number for number in range(5)), do="reject")
    stack.publish("purge/1", b"something else", do="reject")
    stack.wait_for(name, dead=6)
    page = visit()
    page.goto(dead_page(name))
    group = page.locator(".groups > li").first
    group.get_by_role("button", name="Purge…").click()
    dialog = page.get_by_role("dialog", name="Delete for good?")
    expect(dialog).to_contain_text("5 dead letters of purge/+")
    assert len(download(page, "Download them first").splitlines()) == 5
    page.get_by_role("button", name="Keep them").click()
    expect(dialog).to_be_hidden()
    assert stack.store.stats(name).dead == 6
    group.get_by_role("button", name="Purge…").click()
    expect(dialog).to_be_visible()
    stack.publish("purge/1", b"no sensor 99", do="reject")
    stack.wait_for(name, dead=7)
    page.get_by_role("button", name="Delete 5 for good").click()
    stack.wait_for(name, dead=2)
    [(who, _what, count)] = actions(page, "purge", name)
    assert (who, count) == (USER, "5")


def test_ticked_messages_are_requeued_and_deleted(visit: NewPage, stack: Stack) -> None:
    """By the keyboard, and without scripts too: the boxes belong to a plain form. Others stay."""
    name = "ticks/+"
    stack.deliver(name, "ticks/1", b"first", b"second", b"third", do="reject")
    pages = [visit(java_script_enabled=scripts) for scripts in (True, False)]
    for page in pages:
        page.goto(messages_page(name, state="dead"))
        left = page.locator("table.messages tbody tr").count()
        page.locator("table.messages input").last.focus()
        page.keyboard.press("Space")
        page.get_by_role("button", name="Delete…").click()
        expect(page.locator("h1")).to_have_text("Delete 1 message for good?")
        page.get_by_role("button", name="Delete 1 for good").click()
        expect(page.get_by_role("status").first).to_contain_text("Deleted 1 message.")
        expect(page.locator("table.messages tbody tr")).to_have_count(left - 1)
    page = pages[0]
    page.reload()
    page.locator("table.messages input").check()
    page.get_by_role("button", name="Requeue", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Requeued 1 message.")
    stack.wait_for(name, dead=1, pending=0)  # it was rejected again
    assert [count for _, _, count in actions(page, "purge", name)] == ["1", "1"]


def test_a_queue_is_purged_once_its_name_was_typed(visit: NewPage, stack: Stack) -> None:
    """Whatever state its messages are in. The button does nothing without the name."""
    name = "whole/+"
    stack.deliver(name, "whole/1", b"x", b"y")
    stack.deliver(name, "whole/2", b"z", do="reject")
    page = visit()
    page.goto(queue_page(name))
    page.get_by_role("button", name="Purge this queue…").click()
    expect(page.locator("h1")).to_have_text("Delete 3 messages for good?")
    go = page.get_by_role("button", name="Delete 3 for good")
    go.click()
    assert stack.store.stats(name).dead == 1
    page.get_by_label("To confirm").fill(name)
    go.click()
    expect(page.locator("h1")).to_contain_text("running")
    stack.wait_for(name, done=0, dead=0)
    assert actions(page, "purge-queue", name)[0][0] == USER
