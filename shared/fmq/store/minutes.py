"""A minute of all queues as JSON text, as both backends keep it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, fields
from functools import lru_cache

from fmq.message import LATEST_MOMENT, QueueStats
from fmq.store.records import Minute, QueueMinute

KEPT = 1_440
"""How many minutes are kept."""
_WIDTH = len(fields(QueueMinute))
_GREATEST = 2**63 - 1


def encode_minute(stats: Iterable[QueueStats], now: float) -> str:
    """The counters of all queues at ``now``, in Unix seconds."""
    return json.dumps({one.name: _kept(one, now) for one in stats}, separators=(",", ":"))


def decode_minutes(rows: Iterable[tuple[int, str | bytes]], name: str | None = None) -> Sequence[Minute]:
    """The minutes of rows (minute, text), of all queues or of one. A row, or a part of one, that somebody else has written is left out.

    Equal texts of all queues give the same mapping, as long as they are among the last ones.
    """
    found = []
    for minute, data in rows:
        with suppress(ValueError, TypeError, AttributeError, RecursionError):
            if name is None:
                queues = _recent(data)
            else:
                queues = {queue: one for queue, one in _decoded(data).items() if queue == name}
            found.append(Minute(minute, queues))
    return found


def _decoded(data: str | bytes) -> Mapping[str, QueueMinute]:
    """The queues in a text. Raises ValueError and others for text that is not a minute's."""
    parts = json.loads(data).items()
    queues = {queue: QueueMinute(*kept) for queue, kept in parts if _is_whole(kept)}
    if parts and not queues:
        raise ValueError("no queue can be read")
    return queues


_recent = lru_cache(maxsize=128)(_decoded)
"""Pages read the last hour repeatedly, and each minute of 100 queues takes half a millisecond to decode."""


def _is_whole(kept: object) -> bool:
    """Whether ``kept`` has what ``_kept`` returns. Called thousands of times for a page."""
    if type(kept) is not list or len(kept) != _WIDTH or set(map(type, kept[:-1])) != {int}:
        return False
    age = kept[-1]
    return (
        min(kept[:-1]) >= 0
        and max(kept[:-1]) <= _GREATEST
        and (age is None or (type(age) in (float, int) and 0 <= age < LATEST_MOMENT))
    )


def _kept(one: QueueStats, now: float) -> tuple[object, ...]:
    age = None if one.oldest_pending_at is None else round(max(0.0, now - one.oldest_pending_at), 3)
    return astuple(QueueMinute(one.stored, one.handled, one.failed, one.died, one.pending, one.claimed, one.dead, age))
