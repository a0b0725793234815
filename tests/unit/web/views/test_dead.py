"""Dead letters in groups."""

from http import HTTPStatus

import pytest

from fmq.message import Incoming
from fmq.store.fingerprint import fingerprint
from fmq.store.selection import Selection, State
from fmq_web.http.problems import Problem
from fmq_web.views import dead
from fmq_web.views.dead import groups
from support.counting import execute
from support.web.filled import EMPTY, QUEUE, Filled

_NO_ROUTE = fingerprint("no route to 10.0.0.1")


def die(filled: Filled, name: str, *reasons: str) -> None:
    filled.store.declare(name)
    filled.store.put([Incoming(name, "t", b"", filled.clock.wall(), reason=reason) for reason in reasons])


def test_groups_of_a_queue(filled: Filled) -> None:
    """What reasons have in common, the most frequent first."""
    seen = groups(filled.store, filled.clock, QUEUE)
    assert [(one.fingerprint, one.count, one.queue) for one in seen.groups] == [
        (_NO_ROUTE, 2, QUEUE),
        ("another", 1, QUEUE),
    ]
    assert (seen.queue, seen.looked_at, seen.total, seen.before) == (QUEUE, 3, 3, None)
    assert groups(filled.store, filled.clock, EMPTY).groups == []


def test_all_queues(filled: Filled) -> None:
    """By name."""
    die(filled, "a", "x")
    die(filled, "z", "y")
    seen = groups(filled.store, filled.clock)
    assert [one.queue for one in seen.groups] == ["a", QUEUE, QUEUE, "z"]
    assert (seen.queue, seen.total, seen.before) == (None, 5, None)


@pytest.mark.parametrize("within", [1, 2, 3, 100])
def test_steps(filled: Filled, monkeypatch: pytest.MonkeyPatch, within: int) -> None:
    """In any steps each dead letter counts once, and no step looks at more than its bound."""
    monkeypatch.setattr(dead, "WITHIN", within)
    die(filled, "a", "x", "x")
    die(filled, "z", "y")
    counts: dict[tuple[str, str], int] = {}
    before: str | None = None
    while True:
        seen = groups(filled.store, filled.clock, before=before)
        assert seen.looked_at <= within
        assert seen.total == 6
        for one in seen.groups:
            key = one.queue, one.fingerprint
            counts[key] = counts.get(key, 0) + one.count
        before = seen.before
        if before is None:
            break
    assert counts == {("a", "x"): 2, (QUEUE, _NO_ROUTE): 2, (QUEUE, "another"): 1, ("z", "y"): 1}


def test_refused(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead, "WITHIN", 1)
    before = groups(filled.store, filled.clock).before
    for name, cursor, status in (
        ("nowhere", None, HTTPStatus.NOT_FOUND),
        (QUEUE, before, HTTPStatus.UNPROCESSABLE_ENTITY),
        (None, "x", HTTPStatus.UNPROCESSABLE_ENTITY),
    ):
        with pytest.raises(Problem) as caught:
            groups(filled.store, filled.clock, name, cursor)
        assert caught.value.status == status


def test_no_reason_at_all(filled: Filled) -> None:
    """A group of its own, by which its dead letters are found again, whether another program left it NULL or empty."""
    die(filled, EMPTY, "None", "x", "y")
    first, second, third = sorted(filled.backend.ids(EMPTY))
    execute(filled.path, "UPDATE msg_empty SET reason = '' WHERE id = ?", second)
    execute(filled.path, "UPDATE msg_empty SET reason = NULL WHERE id = ?", third)
    seen = {one.fingerprint: one.count for one in groups(filled.store, filled.clock, EMPTY).groups}
    assert seen == {"None": 1, "": 2}
    for group, ids in (("None", [first]), ("", [second, third])):
        assert filled.store.find(EMPTY, Selection(State.DEAD, fingerprint=group)).ids == ids
