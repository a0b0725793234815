"""Claims no more messages than a rate allows, which all processors of a route share through the store (docs/adr/0034).

Permits are taken before a claim, so that no claimed message waits for the rate. They are taken in blocks, which are small parts of
a second, and what is not used is given back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from fmq.clock import Clock
from fmq.message import Claim
from fmq.service.metrics import ProcessorMetrics
from fmq.store.pacing import Bucket
from fmq.store.roles import Lending, Pacing, Statistics
from fmq_processor.guards.store_gate import Gate

_KEPT_SECONDS = 0.25
_BLOCK_SECONDS = 0.1
_ASK_SECONDS = 1.0
_COUNTED = 1_000
"""Delayed messages that are counted before a claim."""
_SMALLEST_DEPTH = 1.5
"""Half a permit more than one: who takes single permits a little late must not lose time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``per_second`` * t + ``burst`` attempts, rounded up, begin within any t seconds.

    The burst is divided: a part is the bucket's depth, the rest is what processors may have taken and not used yet, and the
    messages that wait for their calls. ``block`` is the number of permits to take at once, if that many messages wait.
    """

    per_second: float
    burst: int
    block: int
    kept: float
    depth: float

    @classmethod
    def of(cls, per_second: float, burst: int, *, batch: int, is_batch: bool) -> Self:
        """``burst`` 0: the messages of one second. ``batch`` is the most that a claim, or a call of a batch handler, takes."""
        burst = burst or max(1, round(per_second))
        part = batch if is_batch else math.floor(per_second * _BLOCK_SECONDS)
        block = max(1, min(part, batch, burst // 4))
        kept = min(_KEPT_SECONDS, burst / 4 / per_second)
        depth = max(_SMALLEST_DEPTH, burst - per_second * kept - block)
        return cls(per_second, burst, block, kept, depth)


class PacedStore(Lending, Pacing, Statistics, Protocol):
    """What a rate limit needs of the store."""


class RateLimit:
    """Claims in the place of the store. All methods are for the thread that the store's connection belongs to."""

    def __init__(
        self,
        limit: Limit,
        *,
        route: str,
        shown: str,
        key: str,
        store: PacedStore,
        gate: Gate,
        clock: Clock,
        metrics: ProcessorMetrics,
    ) -> None:
        """Processors with the same ``key`` share the limit, which people see as ``shown``. ``route`` is the name for metrics."""
        self._shown = shown
        self._store = store
        self._bucket = Bucket(store, key, per_second=limit.per_second, depth=limit.depth)
        self._limit = limit
        self._gate = gate
        self._clock = clock
        self._seconds = metrics.rate_limited_seconds.labels(route)
        self._held = 0
        self._held_until = 0.0
        self._ask_at = 0.0
        self._denied: set[str] = set()
        self._next_guess: dict[str, float] = {}
        self._stepped_at = clock.steady()

    @property
    def waits_until(self) -> float | None:
        """If messages wait because of the rate: when to claim again, in steady seconds."""
        return self._ask_at if self._denied else None

    @property
    def note(self) -> str:
        """For people, from any thread."""
        return f"{self._shown}; messages wait for it" if self._denied else self._shown

    def claim(
        self,
        name: str,
        limit: int,
        *,
        lease: float,
        ordered: bool = False,
        most_bytes: int | None = None,
        route: str | None = None,
    ) -> Sequence[Claim]:
        """As ``Lending.claim``, but no more messages than there are permits for."""
        permits = self._permits(name, limit, is_shared=route is not None)
        if not permits:
            return ()
        claims = self._store.claim(name, permits, lease=lease, ordered=ordered, most_bytes=most_bytes, route=route)
        self.used(len(claims))
        if claims:
            self._next_guess.pop(name, None)
        return claims

    def permitted(self, name: str, count: int) -> int:
        """How many of ``count`` messages, which somebody else has claimed, may be handled now."""
        now = self._clock.steady()
        if not self._held or now >= self._held_until:
            if now < self._ask_at:
                return 0
            self._gate.attempt(lambda: self._take(name, count, now))
        return min(count, self._held)

    def used(self, count: int) -> None:
        """Note that messages are about to be handled."""
        self._held -= count

    def look_now(self) -> None:
        """Ask for permits in the next claim, though the counters may not say that anything is due."""
        self._next_guess.clear()

    def unused(self, count: int) -> None:
        """Note that claimed messages did not reach the handler."""
        if count and not self._held:
            self._held_until = self._clock.steady() + self._limit.kept
        self._held += count

    def step(self) -> None:
        """Give back permits that were not used in time, and count how long messages wait."""
        now = self._clock.steady()
        if self._denied:
            self._seconds.inc(max(0.0, min(now, self._ask_at) - self._stepped_at))
        self._stepped_at = now
        if self._held and now >= self._held_until:
            self.close()

    def close(self) -> None:
        """Give back all permits. If the store is unavailable they are lost: that is at most a block."""
        if self._held:
            self._gate.attempt(self._give_back)

    def _give_back(self) -> None:
        count, self._held = self._held, 0
        self._bucket.give_back(count)

    def _permits(self, name: str, limit: int, *, is_shared: bool) -> int:
        """How many messages of a queue may be claimed now, up to ``limit``."""
        now = self._clock.steady()
        if self._held and now < self._held_until:
            return min(limit, self._held)
        if now < self._ask_at:
            return 0
        if self._held:
            self._give_back()
        self._denied.discard(name)
        wanted = min(limit, self._perhaps_due(name, now, is_shared=is_shared))
        if wanted:
            self._take(name, wanted, now)
        return self._held

    def _take(self, name: str, wanted: int, now: float) -> None:
        """Take permits for up to ``wanted`` messages of a queue."""
        if self._held:
            self._give_back()
        taken = self._bucket.take(least=min(wanted, self._limit.block), most=wanted)
        if taken.permits:
            self._held, self._held_until = taken.permits, now + self._limit.kept
        else:
            self._denied.add(name)
            self._ask_at = now + min(taken.wait, _ASK_SECONDS)

    def _perhaps_due(self, name: str, now: float, *, is_shared: bool) -> int:
        """How many messages of a queue may be due. To take permits for none is a write, which makes all processors look again.

        Where that is not known (leases that may have run out, many delayed messages, messages that are set aside for a route),
        it is guessed once a second.
        """
        stats = self._store.stats(name)
        if stats.paused or not (stats.pending or stats.claimed):
            return 0
        delayed = self._store.retrying(name, most=_COUNTED) if stats.pending else 0
        if delayed < min(stats.pending, _COUNTED):
            return stats.pending - delayed
        if now < self._next_guess.get(name, 0.0) or not (stats.claimed or delayed == _COUNTED or is_shared):
            return 0
        self._next_guess[name] = now + _ASK_SECONDS
        return max(1, stats.pending) if is_shared or stats.pending > _COUNTED else 1
