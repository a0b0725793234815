"""No view's time depends on how many messages there are: none of its statements scans a table of messages."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import apsw
import pytest

from fmq.store.selection import Selection, State
from fmq_web.views import activity, dead, history, message, messages, overview, payload, queue, services
from support.web.filled import QUEUE, Filled

_SCAN = re.compile(r"SCAN (\S+)")
# What has a few rows at most: fmq's own tables, the values of a list, and the steps of a statement.
_SMALL = re.compile(r"fmq_(queue|service|minute|note|action)|json_each|\(subquery-\d+\)|CONSTANT")

Statements = dict[str, Any]


@contextmanager
def traced(filled: Filled) -> Iterator[Statements]:
    """The statements that the block has executed, with their values."""
    found: Statements = {}
    sql: apsw.Connection = filled.store._database.sql  # type: ignore[attr-defined]

    def note(_cursor: apsw.Cursor, statement: str, values: Any) -> bool:  # noqa: ANN401 - whatever apsw binds
        found.setdefault(statement, values)
        return True

    sql.exec_trace = note
    try:
        yield found
    finally:
        sql.exec_trace = None


def scans(filled: Filled, statements: Statements) -> list[tuple[str, str]]:
    """The tables that a statement reads from one end to the other, with the statement."""
    sql: apsw.Connection = filled.store._database.sql  # type: ignore[attr-defined]
    found = []
    for statement, values in statements.items():
        if not statement.lstrip().upper().startswith("SELECT"):
            continue
        for *_, detail in sql.execute(f"EXPLAIN QUERY PLAN {statement}", values):
            match = _SCAN.match(str(detail))
            if match and not _SMALL.fullmatch(match[1]):
                found.append((str(detail), statement))
    return found


def pages(one: Filled, state: State) -> None:
    """Messages of a state, with all that filters, and from a second step on."""
    filtered = Selection(state, topic="sensors/#", reason="route", since=1.0, until=2e9, fingerprint="x")
    messages.message_page(one.store, QUEUE, filtered, text="x")
    first = messages.message_page(one.store, QUEUE, Selection(state), limit=1)
    messages.message_page(one.store, QUEUE, Selection(state), before=first.before)


VIEWS: Mapping[str, Callable[[Filled], object]] = {
    "overview": lambda one: overview.overview(one.store, one.clock),
    "queue": lambda one: queue.queue_view(one.store, one.clock, QUEUE),
    "history": lambda one: history.history(one.store, one.clock, QUEUE, 24),
    "message": lambda one: message.message_view(one.store, one.clock, QUEUE, str(one.ids["dead1"])),
    "payload": lambda one: payload.window(one.store, QUEUE, str(one.ids["done"])),
    "groups": lambda one: dead.groups(one.store, one.clock),
    "services": lambda one: services.services(one.store),
    "metrics": lambda one: one.store.all_stats(),
    "activity": lambda one: activity.activity(one.store, []),
    **{f"messages {state}": partial(pages, state=state) for state in State},
}


@pytest.mark.parametrize("name", VIEWS)
def test_no_scan(filled: Filled, name: str) -> None:
    with traced(filled) as statements:
        VIEWS[name](filled)
    assert statements
    assert scans(filled, statements) == []


def test_a_scan_would_be_seen(filled: Filled) -> None:
    """The control: a full count is found."""
    table = filled.store._database.table(QUEUE)  # type: ignore[attr-defined]
    assert scans(filled, {f"SELECT count(*) FROM {table} AS message WHERE qos = ?": (1,)})
