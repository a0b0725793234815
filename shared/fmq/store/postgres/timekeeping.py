"""The store's time: the server's clock, which all hosts share."""

from typing import NamedTuple

from fmq.clock import SYSTEM_CLOCK, Clock

# The start of the statement. Unlike clock_timestamp() it is the same in the whole statement, so an index can be searched for
# it. Where a lock comes first, it is a statement of its own.
_SERVER = "date_part('epoch', statement_timestamp())"
# A subquery is evaluated once, an expression for every row.
NOW = f"(SELECT coalesce(%(now)s::float8, {_SERVER}))"
"""SQL: the store's time in seconds. Leases, delays and retention are measured in it."""
WALL = f"(SELECT coalesce(%(wall)s::float8, {_SERVER}))"
"""SQL: Unix time in seconds, for people. The same, except with an injected clock."""


class Moment(NamedTuple):
    """The parameters of NOW and WALL: None for the server's own time."""

    now: float | None = None
    wall: float | None = None

    @property
    def shift(self) -> float:
        """Seconds to add to the store's time to get Unix time."""
        return 0.0 if self.now is None or self.wall is None else self.wall - self.now


SERVER_TIME = Moment()


class StoreTime:
    """Takes the time from the server, or from an injected clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = None if clock is SYSTEM_CLOCK else clock

    def moment(self) -> Moment:
        """The present, for the parameters of a statement."""
        return SERVER_TIME if self._clock is None else Moment(self._clock.steady(), self._clock.wall())
