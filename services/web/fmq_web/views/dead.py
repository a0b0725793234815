"""Dead letters in groups: failures are understood by what they have in common."""

from collections.abc import Sequence
from typing import Protocol

from fmq.clock import Clock
from fmq.errors import UnknownQueue
from fmq.store.roles import Operating, Statistics
from fmq_web.answers.messages import DeadGroup, DeadGroups
from fmq_web.views.asking import about
from fmq_web.views.cursors import cursor, located, place

WITHIN = 10_000
MOST_GROUPS = 200
_MOST_SECONDS = 0.25


class _Store(Statistics, Operating, Protocol):
    """What the view reads."""


def groups(store: _Store, clock: Clock, name: str | None = None, before: str | None = None) -> DeadGroups:
    """One step through the dead letters of a queue, or of all queues by name. Looks at WITHIN of them at most, and ends after
    MOST_GROUPS groups.

    Groups of one queue come together, the largest first; those of a later step may continue them. Raises Problem: 404 without
    such a queue, 422 for a cursor of another list.
    """
    first, at = _start(before, name)
    if name is not None:
        with about(name):
            store.stats(name)
    names = list(store.names()) if name is None else [name]
    found: list[DeadGroup] = []
    end = clock.steady() + _MOST_SECONDS
    looked_at = total = 0
    stopped: str | None = None
    for one in names:
        try:
            dead = store.stats(one).dead
        except UnknownQueue:  # deleted since
            continue
        total += dead
        if not dead or (first is not None and one < first) or stopped is not None:
            continue
        if looked_at >= WITHIN or len(found) >= MOST_GROUPS or clock.steady() > end:
            stopped = cursor(_place(one, None), "dead", name)
            continue
        some, count, left = _of(store, one, at if one == first else None, WITHIN - looked_at)
        found += some
        looked_at += count
        if left is not None:
            stopped = cursor(_place(one, left), "dead", name)
    return DeadGroups(queue=name, groups=found, looked_at=looked_at, total=total, before=stopped)


def _of(store: Operating, name: str, before: str | None, within: int) -> tuple[Sequence[DeadGroup], int, str | None]:
    with located():
        found = store.dead_groups(name, before=before, within=within)
    shown = [
        DeadGroup(
            queue=name,
            fingerprint=one.fingerprint,
            count=one.count,
            first_at=one.first_at,
            last_at=one.last_at,
            reason=one.reason,
        )
        for one in found.groups
    ]
    return shown, found.looked_at, found.before


def _place(name: str, left: str | None) -> str:
    """A queue and where to go on in it. The place has no NUL, nor has a topic filter."""
    return f"{name}\0{left or ''}"


def _start(before: str | None, name: str | None) -> tuple[str | None, str | None]:
    if before is None:
        return None, None
    first, _, left = place(before, "dead", name).partition("\0")
    return first, left or None
