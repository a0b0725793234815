"""How many messages may die within a minute."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from support.clock import FakeClock


def limit(most: int, share: float = 0.0) -> tuple[DeadLetterLimit, FakeClock]:
    clock = FakeClock()
    return DeadLetterLimit(most=most, share=share, clock=clock), clock


def test_so_many_and_no_more() -> None:
    """Each queue has its own limit."""
    dead, _ = limit(3)
    assert [dead.admits("q") for _ in range(5)] == [True, True, True, False, False]
    assert dead.admits("p")


def test_a_minute_later_there_is_room_again() -> None:
    """For as many as have died a minute ago."""
    dead, clock = limit(3)
    assert dead.admits("q")
    clock.advance(30)
    assert [dead.admits("q") for _ in range(3)] == [True, True, False]
    clock.advance(30)
    assert [dead.admits("q") for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [dead.admits("q") for _ in range(4)] == [True, True, True, False]


def test_a_queue_that_works_is_not_stopped() -> None:
    """While most messages are handled, any number of others may die; not if the share is 0."""
    for share, expected in ((0.5, True), (0.0, False)):
        dead, clock = limit(3, share)
        for _ in range(100):
            dead.done("q", 2)
            dead.admits("q")
            clock.advance(0.1)
        assert dead.admits("q") is expected


def test_none_is_no_limit() -> None:
    """0: any number may die."""
    dead, _ = limit(0)
    assert all(dead.admits("q") for _ in range(1_000))


def test_forgetting() -> None:
    """After an operator's word as many may die as at first."""
    dead, _ = limit(2)
    assert [dead.admits("q") for _ in range(3)] == [True, True, False]
    dead.forget("q")
    assert [dead.admits("q") for _ in range(3)] == [True, True, False]


@given(
    events=st.lists(st.tuples(st.sampled_from(["dead", "dead", "done", "wait"]), st.integers(1, 40)), max_size=60),
    most=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_any_history(events: list[tuple[str, int]], most: int, share: float) -> None:
    """It decides as one who keeps every event of the last minute would, and itself keeps a minute's seconds at most."""
    dead, clock = limit(most, share)
    kept: list[tuple[int, str, int]] = []
    for kind, number in events:
        now = int(clock.steady())
        kept = [one for one in kept if one[0] > now - 60]
        if kind == "wait":
            clock.advance(number)
        elif kind == "done":
            dead.done("q", number)
            kept.append((now, "done", number))
        else:
            died = sum(count for _, what, count in kept if what == "dead")
            handled = sum(count for _, what, count in kept if what == "done")
            expected = died < most or died < share * (died + handled)
            assert dead.admits("q") is expected
            if expected:
                kept.append((now, "dead", 1))
    assert all(len(minute.seconds) <= 60 for minute in dead._minutes.values())
