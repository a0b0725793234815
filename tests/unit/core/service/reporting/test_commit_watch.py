"""A commit that takes long is seen while it is under way."""

import pytest

from fmq.service.http.health import Heartbeat
from fmq.service.reporting.commit_watch import CommitWatch
from support.clock import FakeClock


def test_a_commit_that_waits() -> None:
    """It is reported after 10 seconds, and the loop that waits for it counts as alive however long it takes."""
    clock = FakeClock()
    heartbeat = Heartbeat(limit=60, clock=clock)
    watch = CommitWatch(clock, heartbeat)
    with watch:
        clock.advance(9)
        assert watch.problem is None
        clock.advance(3_591)
        assert watch.problem == "a commit has been under way for 3600 s; `fmq doctor` looks for the cause"
        assert heartbeat.alive
    assert watch.problem is None
    assert watch.seconds == 3_600
    assert heartbeat.age == 0
    clock.advance(61)
    assert not heartbeat.alive


def test_a_commit_that_fails() -> None:
    """It is not under way any more."""
    clock = FakeClock()
    watch = CommitWatch(clock, Heartbeat(limit=60, clock=clock))

    def fail() -> None:
        with watch:
            clock.advance(20)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert watch.problem is None
