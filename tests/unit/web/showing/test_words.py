"""Figures in sentences."""

import pytest

from fmq.text import counted
from fmq_web.showing.words import duration, listed, size, spelled


def test_numbers() -> None:
    assert counted(1, "dead letter") == "1 dead letter"
    assert counted(0, "message") == "0 messages"
    assert counted(2_310, "message") == "2,310 messages"
    assert spelled(1, "listener") == "a listener"
    assert spelled(2, "processor") == "two processors"
    assert spelled(1_200, "processor") == "1,200 processors"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (4.9, "4 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (86_400, "1 day")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 byte"), (1_023, "1,023 bytes"), (6 << 20, "6 MiB"), (78 << 30, "78 GiB"), (1 << 41, "2 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_lists() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
