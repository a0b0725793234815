"""Keeps suspects apart from the messages of other routes: a suspect is a message whose worker died, and may end the process again.

What a route holds at that moment loses an attempt, whether it was tried or not. So a good message must not be held each time.
"""

from fmq.clock import Clock
from fmq_processor.routing.exchange import Exchange

DELAY_SECONDS = 0.5
"""After which a suspect that was refused is claimed again."""
_PATIENCE_SECONDS = 5.0
"""For how long a suspect waits for those of other routes. What kills a worker mostly does so at once; what hangs takes longer."""
_YOUNG_SECONDS = 1.0
"""For so long after the start of a suspect other routes claim nothing, and for no longer in a row."""


class Suspects:
    """Decides for the route with the number ``route`` in ``exchange``."""

    def __init__(self, exchange: Exchange, route: int, clock: Clock) -> None:
        self._exchange = exchange
        self._route = route
        self._clock = clock
        self._refused_at: float | None = None
        self._stepped_back_at: float | None = None

    def must_step_back(self) -> bool:
        """Whether to claim nothing now, since the suspect of another route has just started.

        A row of suspects is interrupted: after a second there is one claim.
        """
        began = self._exchange.suspect_began(self._route)
        if began is None:
            self._stepped_back_at = None
            return False
        now = self._clock.steady()
        if self._stepped_back_at is None:
            self._stepped_back_at = now
        if now - began >= _YOUNG_SECONDS:
            return False
        if now - self._stepped_back_at < _YOUNG_SECONDS:
            return True
        self._stepped_back_at = now
        return False

    def refuse(self) -> bool:
        """Whether a suspect of this route is given back, since one of another route runs. It is not held: its lease would end too."""
        if self._exchange.suspect_began(self._route) is None:
            return False
        now = self._clock.steady()
        if self._refused_at is None:
            self._refused_at = now
        return now - self._refused_at < _PATIENCE_SECONDS

    def begin(self) -> float:
        """Note that a suspect of this route starts now, in steady seconds. The other routes give back theirs that wait."""
        self._refused_at = None
        self._exchange.make_way(self._route)
        return self._clock.steady()
