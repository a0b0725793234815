"""How many messages are due."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_demo.pacer import Pacer


def test_the_rate_is_kept_over_uneven_turns() -> None:
    """Fractions are carried over to the next turn, so nothing is lost to rounding."""
    pacer = Pacer(10, now=0.0)
    assert [pacer.take(now=at, room=100) for at in (0.05, 0.1, 0.35, 1.0)] == [0, 1, 2, 7]


def test_what_does_not_fit_comes_later() -> None:
    """Without room the messages stay due."""
    pacer = Pacer(10, now=0.0)
    assert pacer.take(now=0.5, room=2) == 2
    assert pacer.take(now=0.5, room=100) == 3


def test_a_long_pause_is_not_made_up_for() -> None:
    """A broker that was away for an hour gets one second's worth at once, no flood."""
    assert Pacer(10, now=0.0).take(now=3600.0, room=100_000) == 10


def test_a_rate_below_one_a_second_is_kept_too() -> None:
    """One message each four seconds."""
    pacer = Pacer(0.25, now=0.0)
    assert [pacer.take(now=float(at), room=9) for at in range(1, 9)] == [0, 0, 0, 1, 0, 0, 0, 1]


@given(st.floats(0.1, 10_000), st.lists(st.floats(0, 0.5), max_size=50))
def test_never_more_than_the_rate_allows(rate: float, pauses: list[float]) -> None:
    """Over any time, at most rate x time messages are due."""
    pacer, now, sent = Pacer(rate, now=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        sent += pacer.take(now=now, room=1_000_000)
    assert sent <= rate * now + 1e-6
