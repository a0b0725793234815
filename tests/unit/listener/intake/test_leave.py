"""Ending the session while the broker is away."""

from collections.abc import Iterator

import pytest

from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq_listener.intake import leave
from fmq_listener.settings import ListenerSettings
from support.broker import free_port
from support.clock import FakeClock

_LONG_ENOUGH = 20_000.0


class _Waiting(Shutdown):
    """Its waits take no time and move a clock; the shutdown comes after ``_LONG_ENOUGH`` seconds."""

    def __init__(self, clock: FakeClock, heartbeat: Heartbeat) -> None:
        super().__init__()
        self._clock = clock
        self._heartbeat = heartbeat
        self.was_alive = True

    def wait(self, seconds: float | None) -> bool:
        self._clock.advance(seconds or 0.0)
        self.was_alive = self.was_alive and self._heartbeat.alive
        return self._clock.steady() > _LONG_ENOUGH


@pytest.fixture
def waiting() -> Iterator[_Waiting]:
    clock = FakeClock()
    made = _Waiting(clock, Heartbeat(clock=clock))
    yield made
    made.close()


def test_long_pauses_between_attempts_leave_the_listener_alive(waiting: _Waiting) -> None:
    """A liveness probe that fails would kill it just before the session ends."""
    settings = ListenerSettings(
        topics=("a",), broker_url=f"mqtt://127.0.0.1:{free_port()}", reconnect_max_seconds=86_400
    )
    with pytest.raises(leave.Interrupted):
        leave._forget(settings, "one", waiting._heartbeat, waiting)
    assert waiting.was_alive
