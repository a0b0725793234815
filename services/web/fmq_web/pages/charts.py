"""Charts as shapes: SVG paths and the words that go with them. The templates only print them.

Shapes are stretched to their place by the browser, so one unit across is one minute. Nothing here is text from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from fmq_web.answers.queues import History, HistoryPoint, QueueRow, Tide
from fmq_web.pages import figures
from fmq_web.pages.paths import area, levels, line
from fmq_web.showing.same import Same

_HOUR = 60
_SMOOTH = 5
"""How many points decide whether outflow lags: single minutes vary without meaning."""
_LAG = 0.1
"""Outflow that is behind by less than this share of the inflow does not count as lagging."""


class Flow(Protocol):
    """Messages a second in and out, within one minute or several."""

    @property
    def minute(self) -> int: ...

    @property
    def inflow(self) -> float: ...

    @property
    def outflow(self) -> float: ...


@dataclass(frozen=True, slots=True)
class TideShape:
    """Inflow above the line, outflow below it, and a dashed line where outflow lags. ``width`` and ``height`` are the view box."""

    width: int
    height: int
    inflow: str
    outflow: str
    missing: str
    """Empty if outflow keeps up."""
    summary: str


@dataclass(frozen=True, slots=True)
class Layer:
    """One path. ``kind`` is its CSS class."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its summary and its scale."""

    name: str
    title: str
    unit: str
    summary: str
    width: int
    height: int
    middle: bool
    """Whether the line of zero is in the middle, not at the bottom."""
    layers: Sequence[Layer]
    top: str
    """What the upper edge stands for."""
    times: Sequence[int]
    """Unix seconds to write below the chart, evenly spaced."""


def tide(points: Sequence[Flow], *, first: int, minutes: int = _HOUR, step: int = 1, half: int = 16) -> TideShape:
    """The flow of ``minutes`` from the minute ``first``. A point lasts ``step`` minutes, ``half`` is the height of one side."""
    points = [point for point in points if first <= point.minute < first + minutes]
    most = max((max(point.inflow, point.outflow) for point in points), default=0.0)
    level = levels(most, half)
    inflow = [(point.minute - first, half - level(point.inflow)) for point in points]
    outflow = [(point.minute - first, half + level(point.outflow)) for point in points]
    late = _lagging(points)
    missing = [(at - first, half + level(points[index].inflow)) for index, at in late]
    return TideShape(
        width=minutes,
        height=2 * half,
        inflow=area(inflow, half, step),
        outflow=area(outflow, half, step),
        missing=line(missing, step),
        summary=_told(points, late=bool(late and points and late[-1][0] == len(points) - 1)),
    )


def last_hour(row: QueueRow, at: float) -> TideShape:
    """The tide of a row of the overview, in full minutes."""
    return _last_hour(Same(*row.last_hour), int(at // 60) - _HOUR)


@lru_cache(maxsize=1_000)
def _last_hour(points: Same[Tide], first: int) -> TideShape:
    """It changes once a minute."""
    return tide(points.held, first=first)


def charts(history: History) -> Sequence[Chart]:
    """The charts of a queue: flow, depth and age. Empty without a history."""
    points = history.points
    if not points:
        return ()
    minutes = history.hours * _HOUR
    first = points[-1].minute + points[-1].minutes - minutes
    return (_flow(points, first, minutes), _depth(points, first, minutes), _age(points, first, minutes))


def _flow(points: Sequence[HistoryPoint], first: int, minutes: int) -> Chart:
    shape = tide(points, first=first, minutes=minutes, step=points[-1].minutes, half=100)
    most = max(max(point.inflow, point.outflow) for point in points)
    failed = [(point.minute - first, 100 + levels(most, 100)(point.failed)) for point in points if point.failed]
    layers = [Layer("in", shape.inflow), Layer("out", shape.outflow), Layer("missing", shape.missing)]
    return Chart(
        name="flow",
        title="Flow",
        unit="messages per second: in above the line, out below it",
        summary=shape.summary,
        width=minutes,
        height=200,
        middle=True,
        layers=_drawn([*layers, Layer("failed", line(failed, points[-1].minutes))]),
        top=f"{figures.rate(most)}/s" if most else "",
        times=_times(first, minutes),
    )


def _depth(points: Sequence[HistoryPoint], first: int, minutes: int) -> Chart:
    most = max(max(point.waiting, point.dead) for point in points)
    level = levels(most, 100)
    last = points[-1]
    waiting = [(point.minute - first, 100 - level(point.waiting)) for point in points]
    dead = [(point.minute - first, 100 - level(point.dead)) for point in points if point.dead]
    return Chart(
        name="depth",
        title="Depth",
        unit="messages that wait; dead letters in red",
        summary=_deep(last, most),
        width=minutes,
        height=100,
        middle=False,
        layers=_drawn(
            [
                Layer("area", area(waiting, 100, last.minutes)),
                Layer("line", line(waiting, last.minutes)),
                Layer("dead", line(dead, last.minutes)),
            ]
        ),
        top=figures.count(most) if most else "",
        times=_times(first, minutes),
    )


def _age(points: Sequence[HistoryPoint], first: int, minutes: int) -> Chart:
    ages = [(point, point.oldest_seconds or 0.0) for point in points]
    most = max(age for _, age in ages)
    level = levels(most, 100)
    shape = [(point.minute - first, 100 - level(age)) for point, age in ages]
    now = points[-1].oldest_seconds
    return Chart(
        name="age",
        title="Wait",
        unit="age of the oldest message that waits",
        summary=_waited(now, most),
        width=minutes,
        height=100,
        middle=False,
        layers=_drawn(
            [Layer("area", area(shape, 100, points[-1].minutes)), Layer("line", line(shape, points[-1].minutes))]
        ),
        top=figures.duration(most) if most else "",
        times=_times(first, minutes),
    )


def _deep(last: HistoryPoint, most: int) -> str:
    """The depth in words."""
    if not most:
        return "No messages wait, and the queue has no dead letters."
    waits = (
        f"{figures.plural(last.waiting, 'message waits', 'messages wait')}, {figures.plural(last.dead, 'dead letter')}"
    )
    return f"{waits}; at most {figures.count(most)}."


def _waited(now: float | None, most: float) -> str:
    """The wait in words."""
    waits = "Nothing waits" if now is None else f"The oldest waits {figures.duration(now)}"
    return f"{waits}; at most {figures.duration(most)}." if most else f"{waits}."


def _told(points: Sequence[Flow], *, late: bool) -> str:
    """The tide in words."""
    if not points:
        return "No full minute yet."
    recent = points[-_SMOOTH:]
    inflow, outflow = (sum(side) / len(recent) for side in zip(*((p.inflow, p.outflow) for p in recent), strict=True))
    words = f"In {figures.rate(inflow)}/s, out {figures.rate(outflow)}/s"
    return f"{words}: it falls behind." if late else f"{words}."


def _lagging(points: Sequence[Flow]) -> Sequence[tuple[int, int]]:
    """Index and minute of the points where outflow lags behind inflow, over the last few points."""
    found = []
    for index, point in enumerate(points):
        window = points[max(0, index - _SMOOTH + 1) : index + 1]
        inflow = sum(one.inflow for one in window)
        if inflow - sum(one.outflow for one in window) > _LAG * inflow:
            found.append((index, point.minute))
    return found


def _drawn(layers: Sequence[Layer]) -> Sequence[Layer]:
    return [layer for layer in layers if layer.path]


def _times(first: int, minutes: int) -> Sequence[int]:
    return [(first + minutes * part // 4) * 60 for part in range(5)]
