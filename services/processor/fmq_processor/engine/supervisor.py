"""Gives each route its turn, from one thread, and ends them together."""

import logging
from collections.abc import Callable, Sequence

from fmq.clock import Clock
from fmq.errors import FmqError, StoreRefused
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq_processor.engine.lane import Lane
from fmq_processor.routing.neighbours import Neighbours
from fmq_processor.runners.protocol import Bell, Trouble

_log = logging.getLogger(__name__)
_TICK = 0.02
_WITHOUT_ALARM = 0.01
"""Seconds between two looks of an idle processor that nothing wakes when messages become available."""
MOST_ABANDONED = 256
"""The number of handler calls that hang in replaced runners after which the process has to be restarted."""


class Supervisor:
    """The routes of a processor. They share a thread, the store's connection and the bell that their runners ring.

    ``grace`` is the time in seconds for running calls after the shutdown was requested.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        neighbours: Neighbours,
        bell: Bell,
        heartbeat: Heartbeat,
        clock: Clock,
        grace: float,
    ) -> None:
        self.lanes = lanes
        self.neighbours = neighbours
        self._bell = bell
        self._heartbeat = heartbeat
        self._clock = clock
        self._grace = grace

    @property
    def holds(self) -> int:
        """Messages that are claimed and not settled."""
        return sum(lane.worker.holds for lane in self.lanes)

    def start(self) -> None:
        """Start the runners and the set-up of all handlers. The first turns see the set-ups end."""
        for lane in self.lanes:
            lane.start()

    def run(
        self,
        shutdown: Shutdown,
        on_ready: Callable[[], None] = lambda: None,
        after_turn: Callable[[], None] = lambda: None,
    ) -> str | None:
        """Work until the shutdown, then drain. Returns the reason if the process has to be restarted.

        ``on_ready`` is called once all handlers are set up, ``after_turn`` after each turn, in the same thread. Raises StoreRefused, WrongOrder if
        a queue is delivered in another order than a route works, and what a first set-up raised.
        """
        trouble: Trouble | None = None
        was_ready = False
        try:
            while not shutdown.requested and trouble is None:
                self.turn()
                after_turn()
                if not was_ready and self.is_ready:
                    was_ready = True
                    on_ready()
                trouble = self._trouble()
        except StoreRefused:
            raise
        except FmqError:
            self.drain()  # messages of other queues
            raise
        why = shutdown.failure
        if trouble:
            why = trouble.reason
            _log.error("The processor has to be restarted: %s", why)
            if trouble.is_stuck:
                self.lanes[0].leave_stuck(trouble)
        left = self.drain()
        if left and not why:
            why = f"{left} messages could not be settled before the end, so they come again"
            _log.error("%s", why)
        if any(lane.is_starting for lane in self.lanes):
            why = why or "the handler's setup did not end in time"
            _log.error("The handler's setup did not end in time")
        return why

    @property
    def is_ready(self) -> bool:
        """Whether every handler is set up."""
        return all(lane.is_ready for lane in self.lanes)

    def turn(self) -> None:
        """Give each lane its turn, then wait until one of them has something to do. Takes a few milliseconds."""
        self._heartbeat.beat()
        if self.neighbours.step():
            for lane in self.lanes:
                lane.look_now()
        for lane in self.lanes:
            lane.step()
        tick = min([lane.tick for lane in self.lanes])
        if tick:
            # It goes off until somebody claims, so it is not heard while nobody can.
            alarm = any(lane.worker.can_claim for lane in self.lanes)
            self._bell.wait(tick if self._bell.has_alarm else min(tick, _WITHOUT_ALARM), alarm=alarm)

    def drain(self) -> int:
        """Give back what has not started, wait for running calls, settle. Returns how many messages could not be settled."""
        end = self._clock.steady() + self._grace
        for lane in self.lanes:
            lane.begin_drain()
        while [lane for lane in self.lanes if lane.drain_step()] and self._clock.steady() < end:
            self._heartbeat.beat()
            self._bell.wait(_TICK, alarm=False)
        return sum([lane.end_drain() for lane in self.lanes])

    def tear_down(self, seconds: float) -> bool:
        """Tear the handlers down, in ``seconds`` at most. Returns whether everything succeeded; the log has what did not."""
        end = self._clock.steady() + seconds
        for lane in self.lanes:
            lane.begin_teardown()
        while any(lane.is_tearing_down for lane in self.lanes) and self._clock.steady() < end:
            self._heartbeat.beat()
            self._bell.wait(_TICK)
        return not [lane for lane in self.lanes if not lane.has_torn_down()]

    def stop(self, seconds: float) -> bool:
        """End the threads of all runners, in ``seconds`` at most. Returns whether they all ended."""
        end = self._clock.steady() + seconds
        for lane in self.lanes:
            lane.stop(0)
        return not [lane for lane in self.lanes if not lane.stop(max(0.0, end - self._clock.steady()))]

    def _trouble(self) -> Trouble | None:
        if len(self.lanes) == 1:
            return self.lanes[0].worker.runner.trouble(self._clock.steady())
        abandoned = sum(lane.abandoned for lane in self.lanes)
        if abandoned <= MOST_ABANDONED:
            return None
        return Trouble(f"{abandoned} handler calls hang, and a thread can't be stopped")
