"""Other processors on the same store, whose routes may share queues with those of this one (docs/adr/0031)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fmq.clock import Clock
from fmq.errors import UnknownQueue
from fmq.service.reporting.routes import AWAY_SECONDS, routes_of
from fmq.store.records import Service
from fmq.store.roles import Parking, Statistics
from fmq_processor.guards.store_gate import Gate
from fmq_processor.routing.owners import Claimant, Owners

_LOOK_SECONDS = 5.0
_STEP_SECONDS = 0.1
_STEP = 1_000
_QUEUES, _QUEUES_SECONDS = 20, 0.002
"""The most queues that one step looks through, and for how long: nearly all have nothing set aside."""
_Routes = frozenset[tuple[Claimant, ...]]


class Asked(Parking, Statistics, Protocol):
    """What it uses of the store."""


class Neighbours:
    """Knows the routes of the other processors, and releases what was set aside for routes that nobody has any more.

    Calls the store, in the supervisor's thread. ``own`` are the routes of this process, which the store knows as ``name``.
    """

    def __init__(self, *, store: Asked, gate: Gate, clock: Clock, own: Owners, name: str) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._own = own
        self._name = name
        self._routes: _Routes = frozenset()
        self._others: Sequence[Owners] = ()
        self._queues: set[str] = set()
        self._left: dict[str, None] = {}
        """A set in the order in which the queues were found."""
        self._look_at = self._step_at = 0.0

    def is_shared(self, queue: str) -> bool:
        """Whether another processor may set messages of ``queue`` aside for a route of this one."""
        return any(other.is_shared(queue) for other in self._others)

    def route_for(self, queue: str, topic: str) -> str | None:
        """The name of another processor's route that wants a message. None: there is none, or this process has one of this name."""
        for other in self._others:
            owner = other.owner(queue, topic)
            if owner is not None and (name := other.name(owner)) not in self._own.names:
                return name
        return None

    def found(self, queue: str) -> None:
        """Note that this process serves ``queue``."""
        self._queues.add(queue)
        self._left[queue] = None

    @property
    def is_releasing(self) -> bool:
        """Whether more messages are about to be released."""
        return bool(self._left)

    def step(self) -> bool:
        """Release up to a thousand messages, and look at the other processors every few seconds. Returns whether any were released.

        To be called before the routes claim. What they have set aside by what was known before is settled when it is released.
        """
        now = self._clock.steady()
        has_released = now >= self._step_at and self._release_some(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._look()
        return has_released

    def _look(self) -> None:
        services = self._gate.attempt(self._store.services, writes=False)
        if services is None:
            return
        routes = frozenset(_routes(one.report.state) for one in services if self._is_other(one)) - {()}
        if routes != self._routes:
            self._routes = routes
            self._others = [Owners(one) for one in sorted(routes)]
            # What nobody wanted may have somebody now, or the other way round.
            self._left |= dict.fromkeys(sorted(self._queues))

    def _is_other(self, service: Service) -> bool:
        report = service.report
        return (
            report.kind == "processor" and service.unseen < AWAY_SECONDS and f"{report.host}/{report.pid}" != self._name
        )

    def _release_some(self, now: float) -> bool:
        """Release those of one queue, or see that many queues have none. Returns whether any were released."""
        looked = 0
        while self._left and looked < _QUEUES and self._clock.steady() - now < _QUEUES_SECONDS:
            count = self._release(next(iter(self._left)))
            if count != 0:
                return bool(count)
            looked += 1
        return False

    def _release(self, queue: str) -> int | None:
        """What waits for a route that is there stays set aside; all of it is released if the only route here takes everything.

        Returns the number of messages, or None if the store is unavailable.
        """
        is_shared = self._own.is_shared(queue) or self.is_shared(queue)
        there = {*self._own.names, *(name for other in self._others for name in other.names)} if is_shared else ()
        try:
            count = self._gate.attempt(lambda: self._store.release(queue, but=sorted(there), limit=_STEP))
        except UnknownQueue:
            count = 0
            self._queues.discard(queue)
        if count == _STEP:
            self._step_at = self._clock.steady() + _STEP_SECONDS
        elif count is not None:
            del self._left[queue]
        return count


def _routes(state: Mapping[str, object]) -> tuple[Claimant, ...]:
    return tuple(Claimant(one.name, tuple(one.queues), tuple(one.topics)) for one in routes_of(state))
