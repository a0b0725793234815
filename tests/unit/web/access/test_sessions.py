"""Sessions: how they end, and what is kept of them."""

import pytest

from fmq_web.access.sessions import IDLE_SECONDS, TOTAL_SECONDS, Session, Sessions
from support.clock import FakeClock


def _all(_: Session) -> bool:
    return True


def test_an_id_is_kept_nowhere() -> None:
    """Someone who reads the memory of the service finds no id."""
    sessions = Sessions(FakeClock())
    secret = sessions.start("anna", b"")
    found = sessions.find(secret)
    assert found is not None
    assert secret not in repr(vars(sessions))
    assert sessions.find(found.key) is None, "the key opens nothing"
    assert len(secret) == 43, "256 bits"


def test_idle_and_total_time() -> None:
    """One hour without a request, twelve in all, by the clock that nobody sets."""
    clock = FakeClock()
    sessions = Sessions(clock)
    idle, busy = sessions.start("anna", b""), sessions.start("ben", b"")
    clock.jump(10 * TOTAL_SECONDS)
    assert sessions.find(idle)
    steps = int(TOTAL_SECONDS // (IDLE_SECONDS - 1))
    for _ in range(steps):
        clock.advance(IDLE_SECONDS - 1)
        assert sessions.find(busy)
    assert sessions.find(idle) is None
    clock.advance(TOTAL_SECONDS - steps * (IDLE_SECONDS - 1))
    assert sessions.find(busy) is None


def test_each_end_is_reported_once() -> None:
    """So that its streams are cut, whatever ended it."""
    clock = FakeClock()
    sessions = Sessions(clock, most=3)
    keys = {}
    for name in ("evicted", "out", "idle", "gone"):
        secret = sessions.start(name, b"")
        found = sessions.find(secret)
        assert found
        keys[name] = found.key
        clock.advance(1)
    assert sessions.sweep(_all) == [keys["evicted"]]
    sessions.end(keys["out"])
    sessions.end(keys["out"])
    assert sessions.sweep(lambda one: one.name != "gone") == [keys["out"], keys["gone"]]
    clock.advance(IDLE_SECONDS)
    assert sessions.sweep(_all) == [keys["idle"]]
    assert sessions.sweep(_all) == []
    assert len(sessions) == 0


def test_looking_is_not_use() -> None:
    """A live stream that checks its session does not keep it alive."""
    clock = FakeClock()
    sessions = Sessions(clock)
    secret = sessions.start("anna", b"")
    clock.advance(IDLE_SECONDS - 1)
    assert sessions.find(secret, seen=False)
    clock.advance(1)
    assert sessions.find(secret) is None


@pytest.mark.parametrize("most", [2, 5])
def test_their_number_is_bounded(most: int) -> None:
    """The one unseen for longest gives way."""
    clock = FakeClock()
    sessions = Sessions(clock, most=most)
    first, *others = [sessions.start("anna", b"") for _ in range(most)]
    for _ in range(10):
        assert sessions.find(first)
        others = [*others, sessions.start("anna", b"")]
        assert len(sessions) == most
    kept = [bool(sessions.find(one)) for one in (first, *others)]
    assert kept == [True] + [False] * (len(others) - most + 1) + [True] * (most - 1)
