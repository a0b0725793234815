"""Which route a message belongs to."""

import pytest

from fmq.topics import QUARANTINE
from fmq_processor.routing.owners import Claimant, Owners
from fmq_processor.routing.parking import NOBODY, SECONDS, Parking
from support.clock import FakeClock

OWNERS = Owners(
    [
        Claimant("fire", ("alarms/+",), ("alarms/fire", "alarms/+/hot")),
        Claimant("alarms", ("alarms/+",)),
        Claimant("gas", ("sensors/#",), ("sensors/gas/#",)),
        Claimant("rest"),
    ]
)


@pytest.mark.parametrize(
    ("queue", "topic", "name"),
    [
        ("alarms/+", "alarms/fire", "fire"),
        ("alarms/+", "alarms/door", "alarms"),
        ("sensors/#", "sensors/gas", "gas"),
        ("sensors/#", "sensors/gas/7", "gas"),
        ("sensors/#", "sensors/light", "rest"),
        ("another", "alarms/fire", "rest"),
        (QUARANTINE, "x", None),
    ],
)
def test_the_first_that_wants_it(queue: str, topic: str, name: str | None) -> None:
    """By queue and topic; a route without queues has those that are left, but never the quarantine."""
    for _ in range(2):  # the second time from memory
        owner = OWNERS.owner(queue, topic)
        assert (None if owner is None else OWNERS.name(owner)) == name


def test_shared_queues() -> None:
    """A queue is shared if not all of its messages have the same owner, or some have none."""
    assert [OWNERS.is_shared(queue) for queue in ("alarms/+", "sensors/#", "another", QUARANTINE)] == [
        True,
        True,
        False,
        False,
    ]
    alone = Owners([Claimant("fire", ("q",), ("fire",)), Claimant("other", ("p",))])
    assert [alone.is_shared(queue) for queue in ("q", "p")] == [True, False]
    assert alone.owner("q", "water") is None


def test_memory_is_bounded() -> None:
    """However many topics there are."""
    for number in range(25_000):
        OWNERS.owner("alarms/+", f"alarms/{number}")
    assert len(OWNERS._known) <= 10_000


def test_delays_are_spread() -> None:
    """A deep backlog comes back slowly, and that of nobody more slowly; afterwards delays are short again."""
    clock = FakeClock()
    parking = Parking(clock)
    assert [parking.delay("fire", 1_000) for _ in range(3)] == [SECONDS, SECONDS + 1, SECONDS + 2]
    assert parking.delay("gas", 1) == SECONDS
    assert [parking.delay(NOBODY, 1_000) for _ in range(2)] == [SECONDS, SECONDS + 10]
    clock.advance(10)
    assert parking.delay("fire", 1) == SECONDS
