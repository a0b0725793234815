"""Numbers on the command line."""

from typing import Any

import click
import pytest

from fmq.cli.common.numbers import Count, Rate


@pytest.mark.parametrize(("kind", "text", "number"), [(Count(0), "0", 0), (Count(0, 2), "2", 2), (Rate(), "0.5", 0.5)])
def test_valid(kind: Any, text: str, number: float) -> None:  # noqa: ANN401 - click's types have no common base of their own
    """Whole numbers from a minimum, and rates above 0."""
    assert kind.convert(text, None, None) == number


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Count(1), "0", "'0': expected a whole number from 1"),
        (Count(0, 2), "x", "'x': expected a whole number from 0 to 2"),
        (Rate(), "0", "'0': expected a number above 0, such as 0.5 or 100"),
        (Rate(1000), "1e9", "'1e9': expected a number above 0 and up to 1,000, such as 0.5 or 100"),
        (Rate(), "fast", "'fast': expected a number above 0, such as 0.5 or 100"),
    ],
)
def test_invalid(kind: Any, text: str, told: str) -> None:  # noqa: ANN401 - as above
    """The error says what is expected, without names of types."""
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)
    assert caught.value.message == told
