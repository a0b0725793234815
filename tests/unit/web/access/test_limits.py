"""Sign-in limits: delays grow, nobody is locked out, and the table stays small."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fmq_web.access.limits import PER_MINUTE, SignInLimits
from support.clock import FakeClock


def test_the_delay_of_an_address_doubles_up_to_a_minute() -> None:
    """And never grows further: nobody is locked out."""
    clock = FakeClock()
    limits = SignInLimits(clock)
    delays = []
    for _ in range(12):
        assert limits.admit("192.0.2.1") == 0
        delays.append(limits.admit("192.0.2.1"))
        clock.advance(delays[-1])
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]
    limits.succeeded("192.0.2.1")
    assert limits.admit("192.0.2.1") == 0


def test_tries_at_the_same_time_wait_for_each_other() -> None:
    """A hundred connections are not a hundred guesses."""
    limits = SignInLimits(FakeClock())
    assert [limits.admit("192.0.2.1") == 0 for _ in range(100)].count(True) == 1


def test_one_address_does_not_delay_another() -> None:
    """But a whole IPv6 network of one user is one address."""
    limits = SignInLimits(FakeClock())
    assert limits.admit("192.0.2.1") == 0
    assert limits.admit("::ffff:192.0.2.1") > 0
    assert limits.admit("192.0.2.2") == 0
    assert limits.admit("2001:db8::1") == 0
    assert limits.admit("2001:db8::2") > 0
    assert limits.admit("2001:db8:0:1::2") == 0


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 5))))
def test_never_more_than_thirty_a_minute(tries: list[tuple[int, float]]) -> None:
    """From all addresses together, in any minute. The wait that it names is enough, and the table is bounded."""
    clock = FakeClock()
    limits = SignInLimits(clock, most_addresses=50)
    admitted: list[float] = []
    for number, seconds in tries:
        clock.advance(seconds)
        if limits.admit(f"10.0.{number // 250}.{number % 250}") == 0:
            admitted.append(clock.steady())
    assert len(limits) <= 50
    assert all(later - earlier >= 60 for earlier, later in zip(admitted, admitted[PER_MINUTE:], strict=False))
    assert all(later >= earlier for earlier, later in pairwise(admitted))
    wait = limits.admit("203.0.113.9")
    clock.advance(wait)
    assert wait <= 60
    assert not wait or limits.admit("203.0.113.9") == 0
