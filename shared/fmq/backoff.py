"""Exponential backoff, capped, with jitter."""

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 62  # beyond it every cap is long reached, and 2.0**n would overflow in the end


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay doubles from ``initial`` to ``maximum`` seconds; ``jitter`` is the share of it left to chance."""

    initial: float = 1.0
    maximum: float = 300.0
    jitter: float = 0.5

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after the failed ``attempt`` (which counts from 1)."""
        full = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        return full * (1.0 - self.jitter * rng.random())
