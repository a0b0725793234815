"""Which queue to claim from next, and when to look again."""

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from fmq.clock import Clock
from fmq.errors import UnknownQueue
from fmq.message import Claim
from fmq.service.log import shorten
from fmq.store.roles import Lending
from fmq.topics import QUARANTINE
from fmq_processor.engine.changes import Changes
from fmq_processor.guards.store_gate import Gate
from fmq_processor.job import size_of

_log = logging.getLogger(__name__)
_REFRESH_SECONDS = 1.0
_FIRST_DEPTH, _LAST_DEPTH = 16, 1_000
_MANY = 16
"""The number of queues beyond which the store is first asked which of them have messages."""
SHORTEST_SLEEP = 0.01
"""Seconds after which an idle worker looks again if FMQ_SLEEP is 0."""


class Queues:
    """Claims from the queues in turn."""

    def __init__(
        self,
        *,
        store: Lending,
        gate: Gate,
        clock: Clock,
        changes: Changes,
        wanted: Sequence[str] = (),
        sleep: float = 1.0,
        lease: float = 60.0,
        shared_lease: float = 60.0,
        ordered: bool = False,
        on_new: Callable[[str], None] = lambda _: None,
        route: str = "",
        is_shared: Callable[[str], bool] = lambda _: False,
        claim: Callable[..., Sequence[Claim]] | None = None,
    ) -> None:
        """Serve the queues ``wanted``, or all except the quarantine. ``on_new`` receives the name of each queue that is found.

        Of queues that are shared with other routes, claim for ``route`` and for ``shared_lease`` seconds. ``claim`` is called
        in the place of that of ``store``.
        """
        self._store = store
        self._claim_instead = claim
        self._gate = gate
        self._clock = clock
        self._changes = changes
        self._changes_seen = -1
        self._wanted = tuple(dict.fromkeys(wanted))
        self._sleep = max(sleep, SHORTEST_SLEEP)
        self._lease = lease
        self._shared_lease = shared_lease
        self._ordered = ordered
        self._on_new = on_new
        self._route = route
        self._is_shared = is_shared
        self._depths: dict[str, int] = {}
        """By shared queue: how many messages to claim at once, since the last ones all belonged to other routes."""
        self._line: deque[str] = deque()
        self._missing: set[str] = set()
        self._look_at = 0.0
        self._due: list[float] = []
        """Times at which something will be due; a heap."""
        self._refresh_at = 0.0
        self.found_nothing = False
        """Whether the last look at all queues found nothing to claim."""

    @property
    def served(self) -> Sequence[str]:
        """The queues found so far."""
        return tuple(self._line)

    @property
    def due_in(self) -> float:
        """Seconds until the next look, if nothing happens before; 0 or less: now."""
        return self._look_at - self._clock.steady()

    @property
    def missing(self) -> Sequence[str]:
        """The queues that are wanted and do not exist, as of the last look."""
        return sorted(self._missing)

    def due(self) -> bool:
        """Whether there may be something to claim."""
        if self._clock.steady() >= self._look_at:
            return True
        seen, self._changes_seen = self._changes_seen, self._changes.count()
        return seen != self._changes_seen

    def look_again(self) -> None:
        """Look at all queues in the next turn, whatever the last look has found."""
        self.found_nothing = False
        self.look_now()

    def look_within(self, seconds: float) -> None:
        """Look again in ``seconds`` at the latest, since something will be due then."""
        self.look_at(self._clock.steady() + seconds)

    def look_at(self, at: float) -> None:
        """Look again at this moment, in steady seconds, if not before."""
        self._look_at = min(self._look_at, at)
        heapq.heappush(self._due, at)

    def look_now(self) -> None:
        """Look again in the next turn."""
        self._look_at = 0.0

    def found(self, name: str, own: int) -> None:
        """Note how many messages of the last claim from a shared queue belong to this route.

        While there are none, each claim is twice as large as the one before it, to reach the first one soon.
        """
        if own:
            self._depths.pop(name, None)
        else:
            self._depths[name] = min(max(2 * self._depths.get(name, 0), _FIRST_DEPTH), _LAST_DEPTH)

    def take(self, room: int, *, most: int, most_bytes: int) -> Iterator[Sequence[Claim]]:
        """Claim from one queue after another until ``room`` messages are claimed or all queues were asked; ``most`` at once.

        Ends also when the messages hold ``most_bytes`` (the last one may exceed it), and after a suspect, which must be
        handled alone.
        """
        now = self._clock.steady()
        self.found_nothing = False
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)
        if now >= self._refresh_at:
            self._refresh(now)
        turn, may_be_new = self._turn()
        is_more = False
        while room > 0:
            if not turn:
                if may_be_new:  # queues created since the last look
                    turn.extend(islice(self._line, self._refresh(now)))
                if not turn:
                    if self._gate.is_open and not is_more:
                        self._look_at = min([now + self._sleep, *self._due[:1]])
                        self.found_nothing = True
                        return
                    break
            limit = min(room, most)
            claims = self._claim(turn.popleft(), limit, most_bytes)
            if claims is None:
                break
            if claims:
                is_more = True  # also after fewer than asked for: the next message may have been too large
                room -= len(claims)
                yield claims
                if room > 0:  # often there is none left, so the size need not be known
                    most_bytes -= size_of(claims)
                if claims[0].suspect or most_bytes <= 0:
                    break
        self._look_at = now  # there may be more, or the store failed

    def _turn(self) -> tuple[deque[str], bool]:
        """The queues to ask, in order, and whether there may be new ones.

        Of many queues only those that have unsettled messages by the store's counters.
        """
        if len(self._line) <= _MANY:
            return self._line.copy(), True
        unsettled = self._gate.attempt(self._store.unsettled, writes=False)
        if unsettled is None:
            return self._line.copy(), True
        found = set(unsettled)
        new = found.difference(self._line, [QUARANTINE])
        return deque(name for name in self._line if name in found), bool(new.intersection(self._wanted or new))

    def _claim(self, name: str, limit: int, most_bytes: int) -> Sequence[Claim] | None:
        self._line.remove(name)
        self._line.append(name)
        route = self._route if self._is_shared(name) else None
        lease = self._lease if route is None else self._shared_lease
        limit = max(limit, self._depths.get(name, 0))
        claim = self._claim_instead or self._store.claim
        try:
            return self._gate.attempt(
                lambda: claim(name, limit, lease=lease, ordered=self._ordered, most_bytes=most_bytes, route=route)
            )
        except UnknownQueue:
            self._line.remove(name)
            return ()

    def _refresh(self, now: float) -> int:
        """Look for new queues and put them first in the line. Returns their number."""
        names = self._gate.attempt(self._store.names, writes=False)
        if names is None:
            return 0
        self._refresh_at = now + _REFRESH_SECONDS
        there = set(names)
        for name in self._wanted:
            if name not in there and name not in self._missing:
                self._missing.add(name)
                _log.info("Waiting for the queue %s: no listener has created it yet", shorten(name))
        self._missing -= there
        served = self._wanted or [name for name in names if name != QUARANTINE]
        known = set(self._line)
        new = [name for name in served if name in there and name not in known]
        for name in reversed(new):
            self._line.appendleft(name)
            self._on_new(name)
        return len(new)
