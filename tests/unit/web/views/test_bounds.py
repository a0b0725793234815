"""What a publisher or another program decides the size of: answers stay small."""

from collections.abc import Sequence

import pytest

from fmq.message import Incoming, Properties
from fmq.store.records import ServiceReport
from fmq_web.views import dead
from fmq_web.views.dead import groups
from fmq_web.views.message import message_view
from fmq_web.views.services import services
from support.counting import execute
from support.web.filled import EMPTY, Filled

_LARGEST = 300_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _put(filled: Filled, properties: Properties) -> str:
    filled.store.put([Incoming(EMPTY, "t", b"", filled.clock.wall(), properties=properties)])
    return str(max(filled.backend.ids(EMPTY)))


@pytest.mark.parametrize(
    ("pairs", "shown", "more", "still"),
    [
        ([("a", "b")] * 50_000, 100, 49_901, False),
        ([("\x01" * 60_000, "\u202e" * 60_000)] * 20, 2, 0, True),
        ([("a", "b")] * 99, 100, 0, False),
    ],
)
def test_properties(filled: Filled, pairs: Sequence[tuple[str, str]], shown: int, more: int, *, still: bool) -> None:
    """The first 100 within the first MiB, the start of long ones, and how much is left out."""
    properties = Properties(content_type="x" * 60_000, user_properties=tuple(pairs))
    seen = message_view(filled.store, filled.clock, EMPTY, _put(filled, properties))
    assert (len(seen.properties), seen.more_properties, seen.still_more_properties) == (shown, more, still)
    assert seen.properties[0].value == "x" * 1_000 + "… (60,000 characters)"
    assert len(seen.model_dump_json()) < _LARGEST


def test_a_reason_of_another_program(filled: Filled) -> None:
    """Fmq's own have at most 4,000 characters."""
    filled.store.put([Incoming(EMPTY, "t", b"", filled.clock.wall(), reason="r")])
    number = max(filled.backend.ids(EMPTY))
    execute(filled.path, "UPDATE msg_empty SET reason = ? WHERE id = ?", "\x01" * 5_000_000, number)
    seen = message_view(filled.store, filled.clock, EMPTY, str(number))
    assert len(seen.model_dump_json()) < _LARGEST


def test_groups(filled: Filled) -> None:
    """A step ends after about 200 groups; the next ones have the rest."""
    names = ("a", EMPTY, "z")
    reasons = [f"{first}{second} {third}" for first in _LETTERS for second in _LETTERS for third in "xy"]
    for name in names:
        filled.store.declare(name)
        filled.store.put([Incoming(name, "t", b"", filled.clock.wall(), reason=reason) for reason in reasons])
    seen, before, steps = set(), None, 0
    while steps == 0 or before is not None:
        step = groups(filled.store, filled.clock, before=before)
        assert len(step.groups) < 2 * dead.MOST_GROUPS
        seen |= {(one.queue, one.reason) for one in step.groups}
        before, steps = step.before, steps + 1
    assert len(reasons) * len(names) <= len(seen)
    assert steps >= len(seen) // (2 * dead.MOST_GROUPS)


def test_a_report(filled: Filled) -> None:
    """Of 1 MiB and more."""
    long = "y\x01" * 500_000
    names = [f"queue {number}" for number in range(100_000)]
    route = {"name": long, "queues": names, "topics": names, "handler": long, "circuit": long, "rate": long}
    state = {"queues": names, "circuit": long, "handler": long, "routes": [route] * 3}
    filled.store.report(ServiceReport("odd", "processor", long, 1, long, 5.0, state))
    [seen] = [one for one in services(filled.store).services if one.name == "odd"]
    assert len(seen.queues) == 10_000
    assert len(seen.routes) == 3
    assert len(seen.model_dump_json()) < _LARGEST
