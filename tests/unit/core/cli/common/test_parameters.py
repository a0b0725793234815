"""Lengths and points of time as operators type them."""

import time

import click
import pytest

from fmq.cli.common.parameters import MOMENT, PORT, SPAN


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("2h", 7_200),
        ("3d", 259_200),
        ("1w", 604_800),
        (5, 5),
        (2.5, 2.5),
    ],
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


@pytest.mark.parametrize(
    ("text", "hint"),
    [("1h30m", "Did you mean 90m?"), ("5 min", "Did you mean 5m?"), ("1y", "Known units: ms, s, m, h, d, w.")],
)
def test_other_forms_are_named(text: str, hint: str) -> None:
    """The error has the right form, or the units."""
    for kind in (SPAN, MOMENT):
        with pytest.raises(click.BadParameter) as caught:
            kind.convert(text, None, None)
        assert caught.value.message.endswith(hint)


@pytest.mark.parametrize(
    ("text", "told"), [("0", "(http_port)"), ("-1", "from 1 to 65535"), ("x", "from 1 to 65535"), ("65536", "from 1")]
)
def test_ports(text: str, told: str) -> None:
    """Of a service that runs: 0 is none, though a service may be given it."""
    assert PORT.convert("9464", None, None) == 9464
    with pytest.raises(click.BadParameter) as caught:
        PORT.convert(text, None, None)
    assert told in caught.value.message


def test_ago() -> None:
    """A length of time is so long ago."""
    assert abs(MOMENT.convert("2h", None, None) - (time.time() - 7_200)) < 10


@pytest.mark.parametrize("text", ["", "soon", "-5", "1y", "1 h 2", "2026-13-01"])
@pytest.mark.parametrize("kind", [SPAN, MOMENT])
def test_what_is_neither(kind: click.ParamType[float], text: str) -> None:
    """Told with what would be right."""
    with pytest.raises(click.BadParameter, match="expected one like"):
        kind.convert(text, None, None)
