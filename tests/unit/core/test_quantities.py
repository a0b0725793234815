"""Sizes and times with units."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.quantities import PATTERNS, Unit, hint, parse, show


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("250ms", "seconds", 0.25),
        ("30s", "seconds", 30),
        ("1.5m", "seconds", 90),
        (" 2 h ", "seconds", 7200),
        ("1d", "seconds", 86_400),
        ("1w", "seconds", 604_800),
        ("0.1ms", "seconds", 0.0001),
        ("64MiB", "bytes", 67_108_864),
        ("64 MB", "bytes", 64_000_000),
        ("1.5KiB", "bytes", 1536),
        ("12B", "bytes", 12),
        ("2kB", "bytes", 2000),
    ],
)
def test_units(text: str, unit: Unit, value: float) -> None:
    """A number and a unit are that many seconds or bytes; a whole number of them is an int."""
    found = parse(text, unit)
    assert found == value
    assert isinstance(found, int) == float(value).is_integer()


@pytest.mark.parametrize(
    "text",
    ["", "5", "-5s", "5 s s", "s", "1h30m", "5x", "5M", "5mib", "5MiB", "5S", "nan", "inf", "1e3s", "٣s", "1_0s"],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    """Plain numbers, other words and units of another kind are for the caller to judge."""
    assert parse(text, "seconds") is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "seconds", "0"),
        (0.25, "seconds", "250ms"),
        (1.5, "seconds", "1.5s"),
        (60.0, "seconds", "1m"),
        (90, "seconds", "90s"),
        (7200, "seconds", "2h"),
        (604_800, "seconds", "7d"),
        (4_294_967_295, "seconds", "4294967295s"),
        (float("nan"), "seconds", "nan"),
        (float("inf"), "seconds", "inf"),
        (67_108_864, "bytes", "64MiB"),
        (1_000_000, "bytes", "1000000"),
        (268_435_455, "bytes", "268435455"),
    ],
)
def test_shown(value: float, unit: Unit, text: str) -> None:
    """A value is shown in the largest unit of which it is a whole number."""
    assert show(value, unit) == text


@pytest.mark.parametrize(
    ("text", "unit", "told"),
    [
        ("1h30m", "seconds", " Did you mean 90m?"),
        ("1 hour 30 minutes", "seconds", " Did you mean 90m?"),
        ("5min", "seconds", " Did you mean 5m?"),
        ("1,5h", "seconds", " Did you mean 1.5h?"),
        ("5S", "seconds", " Did you mean 5s?"),
        ("5 parsecs", "seconds", " Known units: ms, s, m, h, d, w."),
        ("64M", "bytes", " Did you mean 64MiB?"),
        ("64mb", "bytes", " Did you mean 64MB?"),
        ("1.5g", "bytes", " Did you mean 1.5GiB?"),
        ("1G5M", "bytes", " Known units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB."),
        ("-5", "seconds", ""),
        ("soon", "seconds", ""),
        ("", "bytes", ""),
    ],
)
def test_what_was_meant(text: str, unit: Unit, told: str) -> None:
    """Usual forms that are not known lead to the right one, others to the units. What is suggested can be given."""
    assert parse(text, unit) is None
    assert hint(text, unit) == told
    if "mean" in told:
        assert parse(told.removeprefix(" Did you mean ").rstrip("?"), unit)


@given(st.integers(0, 10**12), st.sampled_from(["seconds", "bytes"]))
def test_what_is_shown_can_be_given(value: int, unit: Unit) -> None:
    """What is shown means the same when it is read, and is what editors accept."""
    text = show(value, unit)
    found = parse(text, unit)
    assert (Decimal(text) if found is None else found) == value
    assert re.search(PATTERNS[unit], text)
