"""A queue's last hours."""

from collections import defaultdict
from collections.abc import Sequence

from fmq.clock import Clock
from fmq.store.records import Minute, QueueMinute
from fmq.store.roles import Statistics
from fmq_web.answers.queues import History, HistoryPoint
from fmq_web.views.asking import about
from fmq_web.views.minutes import MINUTE, flows, inflow, outflow

MOST_POINTS = 240
_Flow = tuple[Minute, QueueMinute, QueueMinute]


def history(store: Statistics, clock: Clock, name: str, hours: int) -> History:
    """At most MOST_POINTS points. ``hours`` is 1, 6 or 24. Raises Problem 404."""
    with about(name):
        store.stats(name)
    current = int(clock.wall() // MINUTE)
    span = -(-hours * MINUTE // MOST_POINTS)
    groups: dict[int, list[_Flow]] = defaultdict(list)
    for flow in flows(store.history(since=current - hours * MINUTE - 1, name=name), name):
        groups[flow[0].minute // span].append(flow)
    points = [_point(group) for group in groups.values()]
    return History(queue=name, hours=hours, points=points[-MOST_POINTS:])


def _point(group: Sequence[_Flow]) -> HistoryPoint:
    """Means of flows and depths, the largest age."""
    count = len(group)
    return HistoryPoint(
        minute=group[0][0].minute,
        minutes=group[-1][0].minute - group[0][0].minute + 1,
        inflow=sum(inflow(before, after) for _, before, after in group) / count,
        outflow=sum(outflow(before, after) for _, before, after in group) / count,
        failed=sum(max(0, after.failed - before.failed) for _, before, after in group) / count / MINUTE,
        waiting=round(sum(after.pending for _, _, after in group) / count),
        dead=round(sum(after.dead for _, _, after in group) / count),
        oldest_seconds=max((after.oldest_age for _, _, after in group if after.oldest_age is not None), default=None),
    )
