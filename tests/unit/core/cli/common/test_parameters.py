"""Lengths and points of time as operators type them."""

import time

import click
import pytest

from fmq.cli.common.parameters import MOMENT, SPAN


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7_200), ("3d", 259_200), ("1w", 604_800), (5, 5), (2.5, 2.5)],
)
def test_spans(text: object, seconds: float) -> None:
    """A number is seconds, and a letter behind it its unit."""
    assert SPAN.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T00:01", 60),
        ("1970-01-01 00:01:00+01:00", -3_540),
        ("1970-01-01T00:00:10Z", 10),
        (7.0, 7),
    ],
)
def test_moments(text: object, moment: float) -> None:
    """Dates are UTC unless they say otherwise."""
    assert MOMENT.convert(text, None, None) == moment


def test_ago() -> None:
    """A length of time is so long ago."""
    assert abs(MOMENT.convert("2h", None, None) - (time.time() - 7_200)) < 10


@pytest.mark.parametrize("text", ["", "soon", "-5", "1y", "1 h 2", "2026-13-01"])
@pytest.mark.parametrize("kind", [SPAN, MOMENT])
def test_what_is_neither(kind: click.ParamType[float], text: str) -> None:
    """Told with what would be right."""
    with pytest.raises(click.BadParameter, match="expected one like"):
        kind.convert(text, None, None)
