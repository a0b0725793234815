"""Keeps the leases of everything in hand."""

from collections.abc import Callable

from fmq.clock import Clock
from fmq.store.roles import Lending
from fmq_processor.engine.in_hand import InHand
from fmq_processor.guards.store_gate import Gate


class Leases:
    """Extends all leases after a third of their time."""

    def __init__(self, store: Lending, gate: Gate, in_hand: InHand, *, seconds: float, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._in_hand = in_hand
        self._seconds = seconds
        self._clock = clock
        self._extend_at = 0.0

    def begin(self) -> None:
        """Note that the first messages in hand have just been claimed."""
        self._extend_at = self._clock.steady() + self._seconds / 3

    def extend_if_due(self, on_lost: Callable[[set[tuple[str, int]]], None]) -> None:
        """Extend the leases. ``on_lost`` receives queue and id of the messages that are still held, if some are not."""
        now = self._clock.steady()
        if not self._in_hand or now < self._extend_at:
            return
        claims = self._in_hand.claims
        extended = self._gate.attempt(lambda: self._store.extend(claims, lease=self._seconds))
        if extended is None:
            return
        self._extend_at = now + self._seconds / 3
        if len(extended) < len(claims):
            on_lost({(claim.message.queue, claim.message.id) for claim in extended})
