"""Counts a selection in bounded steps."""

from collections.abc import Callable

from fmq.clock import Clock
from fmq.store.roles import Operating
from fmq.store.selection import Selection

_STEP = 10_000


def count_selected(
    store: Operating,
    queue: str,
    which: Selection,
    *,
    clock: Clock,
    seconds: float,
    most: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, bool]:
    """The number of selected messages, and whether there are more than that.

    There are more if the count took ``seconds``, if it reached more than ``most``, or if ``stop`` said so.
    """
    end = clock.steady() + seconds
    total = 0
    after_id: int | None = None
    while True:
        found = store.find(queue, which, after_id=after_id, limit=_STEP, within=_STEP)
        total += len(found.ids)
        if most is not None and total > most:
            return most, True
        after_id = found.after_id
        if after_id is None:
            return total, False
        if clock.steady() >= end or stop():
            return total, True
