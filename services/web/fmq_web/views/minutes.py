"""What the store's history says of a queue: flows within full minutes, and whether anything goes on."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from pydantic import TypeAdapter

from fmq.message import QueueStats
from fmq.store.records import Minute, QueueMinute
from fmq_web.answers.queues import Tide
from fmq_web.showing.same import Same

MINUTE = 60
STILL_MINUTES = 10
"""As long as the alert FmqNoProgress looks back."""
DYING_MINUTES = 15
"""As long as the alert FmqDeadLetters looks back."""
_RATE_MINUTES = 5
_TIDES = TypeAdapter(list[Tide])
"""Validates a list at once, in a third of the time that one by one takes: an overview has 6,000 of them."""
_NEW = QueueMinute(0, 0, 0, 0, 0, 0, 0)


def flows(minutes: Sequence[Minute], name: str) -> Iterator[tuple[Minute, QueueMinute, QueueMinute]]:
    """The minutes whose flow is known, with the counters of ``name`` before and after. A queue is new with no messages.

    A minute after a gap is left out, since nobody knows how much of the difference belongs to it.
    """
    for before, after in pairwise(minutes):
        if after.minute == before.minute + 1 and name in after.queues:
            yield after, before.queues.get(name, _NEW), after.queues[name]


def inflow(before: QueueMinute, after: QueueMinute) -> float:
    """Stored messages a second. A queue that was deleted and created again starts over."""
    return max(0, after.stored - before.stored) / MINUTE


def outflow(before: QueueMinute, after: QueueMinute) -> float:
    """Messages a second that were handled or became dead letters."""
    return max(0, after.handled + after.died - before.handled - before.died) / MINUTE


def tides(minutes: Sequence[Minute]) -> list[Mapping[str, Tide]]:
    """The flow of each queue in each minute that is known, oldest first."""
    return [
        _tides(Same(before.queues, after.queues), after.minute)
        for before, after in pairwise(minutes)
        if after.minute == before.minute + 1
    ]


@lru_cache(maxsize=128)
def _tides(queues: Same[Mapping[str, QueueMinute]], minute: int) -> Mapping[str, Tide]:
    """Of one minute, with the counters before and after it. A full minute does not change any more."""
    before, after = queues.held
    flows = [(before.get(name, _NEW), one) for name, one in after.items()]
    made = _TIDES.validate_python(
        [{"minute": minute, "inflow": inflow(*flow), "outflow": outflow(*flow)} for flow in flows]
    )
    return dict(zip(after, made, strict=True))


def recent_rates(known: Sequence[Tide], current: int) -> tuple[float, float] | None:
    """In and out over the last minutes, in messages a second. None if nothing recent is known.

    ``current`` is the present minute, which is not full yet.
    """
    recent = [tide for tide in known if tide.minute >= current - _RATE_MINUTES]
    if not recent:
        return None
    return sum(one.inflow for one in recent) / len(recent), sum(one.outflow for one in recent) / len(recent)


def stands_still(minutes: Sequence[Minute], stats: QueueStats, current: int) -> bool:
    """Whether messages have waited for STILL_MINUTES, and no attempt has ended."""
    if not stats.pending:
        return False
    rows = minutes[-STILL_MINUTES - 5 :]
    rows = [one for one in rows if one.minute >= current - STILL_MINUTES - 5]
    if not rows or rows[0].minute >= current - STILL_MINUTES:
        return False
    ended = stats.handled + stats.failed + stats.died
    queues = [one.queues.get(stats.name) for one in rows if one.minute >= current - STILL_MINUTES - 1]
    return len(queues) > STILL_MINUTES // 2 and all(
        one is not None and one.pending > 0 and one.handled + one.failed + one.died == ended for one in queues
    )


def dies(minutes: Sequence[Minute], stats: QueueStats, current: int) -> bool:
    """Whether messages became dead letters within DYING_MINUTES."""
    if not stats.died:
        return False
    before = (
        one.queues[stats.name].died
        for one in reversed(minutes)
        if one.minute < current - DYING_MINUTES and stats.name in one.queues
    )
    return stats.died > next(before, 0)
