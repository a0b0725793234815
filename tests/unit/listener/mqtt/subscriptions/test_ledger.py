"""What the listener remembers of the broker's session, and for what."""

import json

import pytest

from fmq.topics import parse
from fmq_listener.mqtt.subscriptions.ledger import Ledger


class _Notes:
    """Notes in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.writes = 0

    def remember(self, key: str, value: str) -> None:
        self.kept[key] = value
        self.writes += 1

    def recall(self, key: str) -> str | None:
        return self.kept.get(key)


def _ledger(notes: _Notes, *texts: str, unwanted: tuple[str, ...] = ()) -> Ledger:
    made = Ledger(map(parse, texts), notes=notes, key="k", unwanted=map(parse, unwanted))
    made.recall()
    return made


def _granted(notes: _Notes, *texts: str, present: bool = False) -> Ledger:
    ledger = _ledger(notes, *texts)
    ledger.begin(session_present=present)
    for one in ledger.wanted:
        ledger.granted(one)
    ledger.save()
    return ledger


def test_filters_that_the_session_held_before_are_named_by_queue() -> None:
    """Over processes, in any order; a new filter is not among them, nor one that was only asked for."""
    notes = _Notes()
    assert _ledger(notes, "a", "b").begin(session_present=False) == frozenset()
    assert _ledger(notes, "a", "b").begin(session_present=True) == frozenset()
    _granted(notes, "a", "$share/g/b", present=True)
    assert _ledger(notes, "c", "$share/g/b", "a").begin(session_present=True) == {"a", "b"}


def test_a_new_session_holds_nothing() -> None:
    """Whatever is noted."""
    notes = _Notes()
    _granted(notes, "a", "old")
    ledger = _ledger(notes, "a", "b")
    assert ledger.known
    assert ledger.begin(session_present=False) == frozenset()
    assert not ledger.former


def test_an_unconfirmed_filter_that_was_removed_meanwhile_is_taken_back() -> None:
    """The broker may have got a SUBSCRIBE that the process did not live to see answered."""
    notes = _Notes()
    _ledger(notes, "a", "b").begin(session_present=False)
    assert _ledger(notes, "b").former == {"a": True}


def test_a_removed_filter_stays_in_the_note() -> None:
    """A broker that is restored from a backup may hold it again: it is taken back on every connection."""
    notes = _Notes()
    _granted(notes, "a", "$share/g/b")
    ledger = _ledger(notes, "a")
    ledger.begin(session_present=True)
    assert ledger.former == {"$share/g/b": True}
    ledger.removed("$share/g/b")
    ledger.save()
    again = _ledger(notes, "a")
    again.begin(session_present=True)
    assert again.former == {"$share/g/b": False}


def test_a_filter_that_is_wanted_again_is_not_taken_back() -> None:
    """And counts as new: its retained messages are stored."""
    notes = _Notes()
    _granted(notes, "a", "b")
    ledger = _ledger(notes, "a")
    ledger.begin(session_present=True)
    ledger.removed("b")
    ledger.save()
    again = _ledger(notes, "a", "b")
    assert again.begin(session_present=True) == {"a"}
    assert not again.former


def test_the_removed_filters_in_the_note_are_bounded() -> None:
    """The last ones are kept."""
    notes = _Notes()
    many = [f"t/{number}" for number in range(300)]
    _granted(notes, *many)
    ledger = _ledger(notes, "a")
    ledger.begin(session_present=True)
    for text in many:
        ledger.removed(text)
    assert len(ledger.former) == 256
    assert "t/299" in ledger.former


def test_leaving_takes_back_what_the_note_does_not_know() -> None:
    """A store that is new, with the session of an old one."""
    ledger = _ledger(_Notes(), unwanted=("a", "b"))
    ledger.begin(session_present=True)
    assert set(ledger.former) == {"a", "b"}


def test_an_unchanged_note_is_not_written_again() -> None:
    """A reconnect costs no commit."""
    notes = _Notes()
    _granted(notes, "a", "b")
    writes = notes.writes
    _granted(notes, "b", "a", present=True)
    assert notes.writes == writes


@pytest.mark.parametrize("note", ["", "{", "[]", "null", json.dumps({"a": "x"}), json.dumps({"a": None})])
def test_a_note_that_cannot_be_read_counts_as_empty(note: str) -> None:
    """Nothing depends on it but what is taken back."""
    notes = _Notes()
    notes.kept["k"] = note
    assert _ledger(notes, "a").begin(session_present=True) == frozenset()


def test_the_note_of_earlier_versions_is_understood() -> None:
    """They kept subscription identifiers, and -1 for what was not confirmed."""
    notes = _Notes()
    notes.kept["k"] = json.dumps({"a": 77, "b": -1, "old": 5})
    ledger = _ledger(notes, "a", "b")
    assert ledger.begin(session_present=True) == {"a"}
    assert ledger.former == {"old": True}
