"""Verdicts that wait for their commit."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fmq.message import Claim
from fmq.store.roles import Lending
from fmq_processor.engine.verdict import Verdict
from fmq_processor.guards.store_gate import Gate

_log = logging.getLogger(__name__)


class Committed(NamedTuple):
    """A commit: all verdicts in it, those without effect because their lease had run out, and its duration in seconds."""

    verdicts: Sequence[Verdict]
    stale: Sequence[Claim]
    seconds: float

    @property
    def effective(self) -> Sequence[Verdict]:
        """The verdicts that took effect."""
        if not self.stale:
            return self.verdicts
        stale = {(claim.message.queue, claim.message.id) for claim in self.stale}
        return [one for one in self.verdicts if (one[0].message.queue, one[0].message.id) not in stale]


class Outbox:
    """Keeps verdicts until a commit succeeds: at most as many as the worker holds messages."""

    def __init__(self, store: Lending, gate: Gate, *, worker: str) -> None:
        """``worker`` names this process in the store, with attempts that fail."""
        self._store = store
        self._gate = gate
        self._worker = worker
        self._verdicts: list[Verdict] = []
        self._stale_burst = False

    def __len__(self) -> int:
        """The number of verdicts that wait."""
        return len(self._verdicts)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Keep verdicts for the next commit."""
        self._verdicts += verdicts

    def commit(self) -> Committed | None:
        """Settle everything in one commit. None if the store is unavailable: everything is kept."""
        verdicts = self._verdicts
        began = time.perf_counter()
        settlements = [(claim, settlement) for claim, settlement, _, _ in verdicts]
        stale = self._gate.attempt(lambda: self._store.settle(settlements, worker=self._worker))
        if stale is None:
            return None
        self._verdicts = []
        if stale and not self._stale_burst:
            _log.warning("%d messages were settled too late: their lease had run out, so they come again", len(stale))
        self._stale_burst = bool(stale)
        return Committed(verdicts, stale, time.perf_counter() - began)
