"""What a dry run froze, kept for the one who made it until it is started."""

import secrets
from dataclasses import dataclass

from fmq.clock import Clock
from fmq.store.selection import Selection
from fmq_web.answers.activity import OperationKind

EXPIRES_SECONDS = 600.0
MOST_PLANS = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation that can be started. ``more``: there are more messages than ``count``."""

    kind: OperationKind
    queue: str
    selection: Selection
    actor: str
    count: int
    more: bool


class Plans:
    """Plans by random tokens. Not for several threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Plan]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, plan: Plan) -> str:
        """Keep a plan for ten minutes and return its token. Forgets the oldest plan if there are too many."""
        now = self._clock.steady()
        while self._kept:
            oldest, (until, _plan) = next(iter(self._kept.items()))
            if until > now and len(self._kept) < MOST_PLANS:
                break
            del self._kept[oldest]
        token = secrets.token_urlsafe(24)
        self._kept[token] = (now + EXPIRES_SECONDS, plan)
        return token

    def find(self, token: str, actor: str) -> Plan | None:
        """The plan of a token, if it is the actor's own and has not expired."""
        until, plan = self._kept.get(token, (0.0, None))
        if plan is None or plan.actor != actor or until <= self._clock.steady():
            return None
        return plan

    def forget(self, token: str) -> None:
        """A token is used once."""
        self._kept.pop(token, None)
