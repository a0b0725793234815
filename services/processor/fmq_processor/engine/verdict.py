"""What becomes of a message, and under which name it counts."""

from enum import StrEnum

from fmq.message import Claim
from fmq.outcome import Done, GiveBack, Settlement


class Kind(StrEnum):
    """The label ``outcome`` of fmq_processed_total, and two kinds that are not counted."""

    DONE = "done"
    SKIPPED = "skipped"
    """Done without the handler: the filter did not let it through."""
    EXPIRED = "expired"
    """Done without the handler: its Message Expiry Interval has passed."""
    RETRY = "retry"
    DEFERRED = "deferred"
    """It failed, but not through its own fault, so the attempt does not count."""
    DEAD = "dead"
    POSTPONED = "postponed"
    """Not tried: decoded values of other messages take the memory, or a suspect of another route runs."""
    PARKED = "parked"
    """Not tried: it belongs to another route, which has no room, or to none."""
    GIVEN_BACK = "given back"
    """Not tried: the processor stops, pauses or has lost interest."""


COUNTED = frozenset({Kind.DONE, Kind.SKIPPED, Kind.EXPIRED, Kind.RETRY, Kind.DEFERRED, Kind.DEAD})
NOT_HANDLED = frozenset({Kind.SKIPPED, Kind.EXPIRED, Kind.POSTPONED, Kind.GIVEN_BACK})
"""The handler was not called. Messages of other routes are counted when they are sorted."""
FAILED = frozenset({Kind.RETRY, Kind.DEFERRED, Kind.DEAD})

Verdict = tuple[Claim, Settlement, Kind, str]
"""A claim, its settlement, its kind and, if it failed, the reason. A plain tuple, since there is one per message."""

DONE = Done()
GIVE_BACK = GiveBack()


def given_back(claim: Claim) -> Verdict:
    """The verdict on a message that was never tried."""
    return claim, GIVE_BACK, Kind.GIVEN_BACK, ""
