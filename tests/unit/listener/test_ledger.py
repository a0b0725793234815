"""What the listener remembers of the broker's session."""

import json

import pytest

from fmq.topics import parse
from fmq_listener.ledger import Ledger


class _Notes:
    """Notes in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def remember(self, key: str, value: str) -> None:
        self.kept[key] = value

    def recall(self, key: str) -> str | None:
        return self.kept.get(key)


def _ledger(notes: _Notes, *texts: str) -> Ledger:
    made = Ledger(map(parse, texts), memory=notes, key="k")
    made.recall()
    return made


def _begin(ledger: Ledger, *, present: bool = True, **numbers: int) -> list[str]:
    return [one.text for one, _ in ledger.begin(session_present=present, numbers=numbers)]


def _subscribe_all(notes: _Notes, *texts: str, **numbers: int) -> None:
    ledger = _ledger(notes, *texts)
    for one, number in ledger.begin(session_present=False, numbers=numbers):
        ledger.held(one, number)
    ledger.save()


def test_what_is_held_is_not_asked_for_again() -> None:
    """In another process, with the same filters and identifiers."""
    notes = _Notes()
    _subscribe_all(notes, "a", "b", a=1, b=2)
    assert _begin(_ledger(notes, "b", "a"), a=1, b=2) == []


def test_a_new_session_is_asked_for_everything() -> None:
    """Whatever is remembered."""
    notes = _Notes()
    _subscribe_all(notes, "a", a=1)
    ledger = _ledger(notes, "a", "b")
    assert ledger.known
    assert _begin(ledger, present=False, a=1, b=2) == ["a", "b"]
    assert ledger.former == []


def test_another_identifier_is_asked_for() -> None:
    """As after a change of the protocol version, which has none."""
    notes = _Notes()
    _subscribe_all(notes, "a", a=1)
    assert _begin(_ledger(notes, "a")) == ["a"]
    assert _begin(_ledger(notes, "a"), a=7) == ["a"]


def test_what_was_asked_and_not_confirmed_is_asked_again() -> None:
    """A process that is killed before SUBACK leaves a note that says unsure."""
    notes = _Notes()
    assert _begin(_ledger(notes, "a"), present=False, a=1) == ["a"]
    assert _begin(_ledger(notes, "a"), a=1) == ["a"]


def test_an_unconfirmed_filter_that_was_removed_meanwhile_is_unsubscribed() -> None:
    """The broker may have got it."""
    notes = _Notes()
    _begin(_ledger(notes, "a", "b"), present=False)
    assert _ledger(notes, "b").former == ["a"]


def test_a_removed_filter_is_former_until_the_broker_confirms() -> None:
    """And no longer."""
    notes = _Notes()
    _subscribe_all(notes, "a", "$share/g/b")
    ledger = _ledger(notes, "a")
    assert ledger.former == ["$share/g/b"]
    ledger.gone("$share/g/b")
    ledger.save()
    assert _ledger(notes, "a").former == []


@pytest.mark.parametrize("note", ["", "{", "[]", "null", json.dumps({"a": "x"}), json.dumps({"a": None})])
def test_a_note_that_cannot_be_read_is_none(note: str) -> None:
    """Everything is subscribed again rather than nothing."""
    notes = _Notes()
    notes.kept["k"] = note
    assert _begin(_ledger(notes, "a"), a=1) == ["a"]
