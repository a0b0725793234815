"""Passes claimed messages to the routes that they belong to.

A route claims from a queue before it knows whose messages these are. Another route takes its own at once if it has room. Otherwise
they are set aside for it in the store, so that nobody claims them again before it does (docs/adr/0031). So are messages that belong
to a route of another processor.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from fmq.clock import Clock
from fmq.message import Claim
from fmq.service.log import Seldom, shorten
from fmq_processor.routing.neighbours import Neighbours
from fmq_processor.routing.owners import Owners
from fmq_processor.routing.parking import NOBODY, Parking

_log = logging.getLogger(__name__)
_WARN_SECONDS = 600.0


class Taker(Protocol):
    """A route at work."""

    def take_over(self, claims: Sequence[Claim]) -> int:
        """Take the first of ``claims``, which are of one queue, as far as there is room. Returns how many."""
        ...

    def look_now(self) -> None:
        """Look for messages in the next turn: some were set aside for this route."""
        ...

    @property
    def suspect_began(self) -> float | None:
        """When it began to handle a message that may have killed its worker, in steady seconds. None: it does not."""
        ...

    def make_way(self) -> None:
        """Settle what has ended, and give back a suspect that waits: one of another route starts, and may end the process."""
        ...


class Sorted:
    """Messages that another route has claimed, or that are too many for their own: by the route to set them aside for."""

    def __init__(self) -> None:
        self.aside: defaultdict[str, list[Claim]] = defaultdict(list)
        self.own: list[Claim] = []


class Exchange:
    """Knows all routes. ``takers`` are given once all are made, in the order of ``owners``."""

    def __init__(self, owners: Owners, clock: Clock, neighbours: Neighbours) -> None:
        self._owners = owners
        self._neighbours = neighbours
        self._parking = Parking(clock)
        self._seldom = Seldom(_WARN_SECONDS, clock=clock)
        self.takers: Sequence[Taker] = ()

    def is_shared(self, queue: str) -> bool:
        """Whether a claim from ``queue`` may return messages of other routes."""
        return self._owners.is_shared(queue) or self._neighbours.is_shared(queue)

    def sort(self, route: int, claims: Sequence[Claim], most: int) -> Sorted:
        """Give claims of a shared queue to their routes. Returns up to ``most`` of ``route`` itself, and those to set aside."""
        found = Sorted()
        others: defaultdict[int, list[Claim]] = defaultdict(list)
        queue = claims[0].message.queue
        for claim in claims:
            owner = self._owners.owner(queue, claim.message.topic)
            if owner == route:
                found.own.append(claim)
            elif owner is not None:
                others[owner].append(claim)
            else:
                found.aside[self._neighbours.route_for(queue, claim.message.topic) or NOBODY].append(claim)
        if len(found.own) > most:
            found.aside[self._owners.name(route)] = found.own[most:]
            del found.own[most:]
        for owner, theirs in others.items():
            left = theirs[self.takers[owner].take_over(theirs) :]
            if left:
                found.aside[self._owners.name(owner)] = left
        if NOBODY in found.aside:
            self._warn(found.aside[NOBODY][0])
        return found

    def suspect_began(self, route: int) -> float | None:
        """When a route other than ``route`` began to handle a suspect, which might end the process; the last one of several."""
        if len(self.takers) == 1:
            return None
        return max(
            (
                at
                for number, taker in enumerate(self.takers)
                if number != route and (at := taker.suspect_began) is not None
            ),
            default=None,
        )

    def make_way(self, route: int) -> None:
        """Note that ``route`` starts a suspect now."""
        for number, taker in enumerate(self.takers):
            if number != route:
                taker.make_way()

    def delay(self, route: str, count: int) -> float:
        """For how many seconds to set ``count`` messages aside for ``route``."""
        return self._parking.delay(route, count)

    def set_aside(self, route: str) -> None:
        """Note that messages for ``route`` are set aside now, in the store."""
        for number, taker in enumerate(self.takers):
            if self._owners.name(number) == route:
                taker.look_now()

    def _warn(self, claim: Claim) -> None:
        if self._seldom.admit(claim.message.queue) is not None:
            queue, topic = shorten(claim.message.queue), shorten(claim.message.topic)
            _log.warning("No route takes messages of %s with the topic %s: they stay in the queue", queue, topic)
