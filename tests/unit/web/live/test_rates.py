"""Rates are those of the last ten seconds, or unknown."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_web.live.rates import RateMeter
from support.clock import FakeClock
from support.web.live import counts


@given(st.lists(st.integers(0, 500), min_size=3, max_size=40))
def test_a_rate_is_the_mean_of_the_last_seconds(arrivals: list[int]) -> None:
    """Neither a single busy second nor the distant past shows."""
    clock = FakeClock()
    meter = RateMeter(clock)
    stored = 1_000
    for came in arrivals:
        meter.note([counts("q", stored)])
        clock.advance(1)
        stored += came
    meter.note([counts("q", stored)])
    last = arrivals[-10:]
    assert meter.rates("q") == (round(sum(last) / len(last), 2), 0.0)


def test_unknown_without_looks() -> None:
    """Nobody knows at once, nor when nobody has looked for a while, nor of a queue that is not there."""
    clock = FakeClock()
    meter = RateMeter(clock)
    assert meter.rates("q") is None
    meter.note([counts("q", 5)])
    assert meter.rates("q") is None
    for _ in range(4):
        clock.advance(1)
        meter.note([counts("q", 5)])
    assert meter.rates("q") == (0.0, 0.0)
    assert meter.rates("other") is None
    clock.advance(60)
    assert meter.rates("q") is None
    meter.note([counts("q", 6_000)])
    assert meter.rates("q") is None, "messages of the time when nobody looked do not count"


def test_a_queue_that_starts_over() -> None:
    """A deleted queue's counters begin at 0 again. A new queue is known after its first seconds."""
    clock = FakeClock()
    meter = RateMeter(clock)
    meter.note([counts("q", 5_000)])
    for number in range(5):
        clock.advance(1)
        meter.note([counts("q", number), counts("new", 10 * number)])
    assert meter.rates("q") == (0.0, 0.0)
    assert meter.rates("new") == (10.0, 0.0)
