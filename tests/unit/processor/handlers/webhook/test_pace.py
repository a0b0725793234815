"""The rate limit."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_processor.handlers.webhook.pace import Pace


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_turns_keep_their_distance(rate: float, pauses: list[float]) -> None:
    """However requests come, turns lie at least 1 / rate apart, and nobody waits who need not."""
    pace, now, last = Pace(rate), 0.0, float("-inf")
    for pause in pauses:
        now += pause
        wait = pace.wait(now)
        assert wait >= 0
        assert now + wait >= last + 1 / rate - 1e-9
        assert wait == 0 or abs(now + wait - (last + 1 / rate)) < 1e-9
        last = now + wait


def test_no_limit() -> None:
    """A rate of 0 never waits."""
    pace = Pace(0)
    assert [pace.wait(0.0) for _ in range(3)] == [0, 0, 0]
