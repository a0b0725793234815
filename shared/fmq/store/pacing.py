"""Limits a rate for all users of a store: a token bucket, kept as one moment in a note.

The note says up to which moment of the store's time all permits are used. A permit takes ``1 / per_second`` seconds of it. So time
that passes makes permits, also while nobody looks or the store is unavailable, and a user that dies loses no more than it has
taken.
"""

import math
from typing import NamedTuple

from fmq.store.roles import Pacing

_ATTEMPTS = 20
_CONTENDED_SECONDS = 0.05
_ROUNDING = 1e-6


class Taken(NamedTuple):
    """The permits taken. If there are none: ``wait`` seconds until there may be enough."""

    permits: int
    wait: float = 0.0


class Bucket:
    """The bucket ``key`` of a store: ``per_second`` permits come in, up to ``depth``. It starts full.

    Users with other figures for the same key share what is used: so a limit can change while they run.
    """

    def __init__(self, store: Pacing, key: str, *, per_second: float, depth: float) -> None:
        self._store = store
        self._key = f"rate: {key}"
        self._per_second = per_second
        self._seconds = depth / per_second

    def take(self, *, least: int, most: int) -> Taken:
        """Take up to ``most`` permits, or none if there are fewer than ``least``. Raises StoreUnavailable.

        ``least`` must not exceed the depth. Writes only if it takes any.
        """
        for _ in range(_ATTEMPTS):
            note = self._store.recall(self._key)
            now = self._store.now()
            used = self._used(note, now)
            there = (now - used) * self._per_second + _ROUNDING
            if there < least:
                return Taken(0, (least - there) / self._per_second)
            count = min(most, math.floor(there))
            if self._store.exchange(self._key, note, repr(used + count / self._per_second)):
                return Taken(count)
        return Taken(0, _CONTENDED_SECONDS)

    def give_back(self, count: int) -> None:
        """Give back permits that were not used. Raises StoreUnavailable; then they are lost."""
        for _ in range(_ATTEMPTS):
            note = self._store.recall(self._key)
            used = self._used(note, self._store.now())
            if self._store.exchange(self._key, note, repr(used - count / self._per_second)):
                return

    def _used(self, note: str | None, now: float) -> float:
        """Up to when the permits are used: not longer ago than the bucket is deep, nor later than now."""
        earliest = now - self._seconds
        try:
            used = earliest if note is None else float(note)
        except ValueError:  # somebody has changed the note
            used = earliest
        # max and min pass over NaN in this order. A moment after now: the clock of a server was set back.
        return min(now, max(earliest, used))
