"""The tide and the charts say the same as the figures, and a healthy queue shows no amber."""

import re
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from fmq_web.answers.queues import Tide
from fmq_web.pages.charts import charts, last_hour, tide
from support.web.queues import history, row
from support.web.texts import NOW, Texts

_RATES = st.floats(0, 1e6)


class Point(NamedTuple):
    """One corner of a path."""

    x: int
    y: int


def corners(path: str) -> list[Point]:
    """The corners of a path of moves, horizontal and vertical lines."""
    found: list[Point] = []
    at = start = Point(0, 0)
    for kind, first, second in re.findall(r"([MhvVz])(-?\d+)?(?: (-?\d+))?", path):
        match kind:
            case "M":
                at = start = Point(int(first), int(second))
            case "h":
                at = Point(at.x + int(first), at.y)
            case "v":
                at = Point(at.x, at.y + int(first))
            case "V":
                at = Point(at.x, int(first))
            case _:
                at = start
        found.append(at)
    return found


@given(st.lists(st.tuples(_RATES, _RATES), max_size=60), st.integers(0, 59))
def test_shapes_stay_in_their_place(flows: list[tuple[float, float]], since: int) -> None:
    """Inflow is never below the line, outflow never above it, and nothing leaves the view box."""
    points = [Tide(minute=100 + index, inflow=one, outflow=out) for index, (one, out) in enumerate(flows)]
    shape = tide(points, first=100 - since)
    for path, low, high in ((shape.inflow, 0, 16), (shape.outflow, 16, 32), (shape.missing, 16, 32)):
        assert all(low <= y <= high and 0 <= x <= 60 for x, y in corners(path))
    assert bool(shape.inflow) == any(point.inflow > 0 for point in points if point.minute < 160 - since)


@given(st.lists(_RATES, min_size=1, max_size=60))
def test_a_queue_that_keeps_up_shows_nothing_missing(rates: list[float]) -> None:
    """Amber asks; nobody is asked while all goes well."""
    points = [Tide(minute=index, inflow=one, outflow=one) for index, one in enumerate(rates)]
    shape = tide(points, first=0)
    assert shape.missing == ""
    assert "behind" not in shape.summary


def test_a_queue_that_falls_behind_shows_what_is_missing() -> None:
    """At the height of the inflow, where outflow should be."""
    points = [Tide(minute=index, inflow=10.0, outflow=10.0 if index < 30 else 2.0) for index in range(60)]
    shape = tide(points, first=0)
    found = corners(shape.missing)
    assert {y for _, y in found} == {32}
    assert 30 <= found[0].x <= 31
    assert found[-1].x == 60
    assert "falls behind" in shape.summary


def test_a_missing_minute_is_a_gap() -> None:
    """What nobody recorded is not drawn as zero, nor as what was before."""
    points = [Tide(minute=index, inflow=1.0, outflow=1.0) for index in range(60) if not 20 <= index < 40]
    moves = [int(x) for x in re.findall(r"M(\d+)", tide(points, first=0).inflow)]
    assert moves == [0, 40]


def test_the_last_hour_ends_with_the_last_full_minute() -> None:
    """The minute that goes on would always look like a fall."""
    one = row("q", 0)
    assert last_hour(one, NOW).inflow
    assert max(x for x, _ in corners(last_hour(one, NOW).inflow)) == 60


def test_charts_cover_what_was_asked_for() -> None:
    """Whatever the resolution."""
    for hours in (1, 6, 24):
        for chart in charts(history(Texts(), hours)):
            assert chart.width == hours * 60
            assert chart.times[-1] - chart.times[0] == hours * 3_600
            for layer in chart.layers:
                assert max(x for x, _ in corners(layer.path)) == chart.width
                assert all(0 <= y <= chart.height for _, y in corners(layer.path))


def test_without_history_there_is_no_chart() -> None:
    """An empty chart would say that nothing came."""
    assert charts(history(Texts(), 1).model_copy(update={"points": []})) == ()
