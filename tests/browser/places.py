"""Where pages are, and what the audit on one of them says."""

from urllib.parse import quote, urlencode

from playwright.sync_api import Page


def queue_page(name: str) -> str:
    """The page of a queue."""
    return f"/queue?{urlencode({'name': name})}"


def messages_page(name: str, **asked: str) -> str:
    """The page of its messages."""
    return f"/messages?{urlencode({'queue': name, **asked})}"


def message_page(name: str, number: int) -> str:
    """The page of a message."""
    return f"/message?{urlencode({'queue': name, 'id': number})}"


def dead_page(name: str) -> str:
    """Its dead letters, in groups."""
    return f"/dead?queue={quote(name, safe='')}"


def actions(page: Page, kind: str, queue: str = "") -> list[tuple[str, str, str]]:
    """The rows of the audit of one kind and queue, the newest first: who, queue with selection, number of messages."""
    page.goto("/activity")
    rows = [row.locator("td").all_inner_texts() for row in page.locator("table.actions tbody tr").all()]
    return [(who, what, number) for _, who, done, what, number in rows if done == kind and what.startswith(queue)]
