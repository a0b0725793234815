"""A limit of messages per time, as people write it."""

import pytest

from fmq.rate import parse_rate


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("", 0),
        ("0", 0),
        ("100/s", 100),
        ("1000/min", 1000 / 60),
        ("5/h", 5 / 3600),
        ("0.5/s", 0.5),
        ("1/d", 1 / 86_400),
    ],
)
def test_a_rate_is_a_number_per_time(text: str, per_second: float) -> None:
    """Per second, minute, hour or day; 0 and an empty text mean unlimited."""
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize(
    "text", ["100", "/s", "-1/s", "1e3/s", "100/sec", "100 / s", "nan/s", "100/s ", "100001/s", "1/m", "0/s"]
)
def test_anything_else_is_refused(text: str) -> None:
    """Rather than guessed at."""
    with pytest.raises(ValueError, match=r"it is|it lets|it has no unit|unknown"):
        parse_rate(text)
