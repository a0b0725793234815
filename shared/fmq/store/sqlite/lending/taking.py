"""Which messages a claim takes: as many as fit, the longest waiting first."""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from fmq.store.sqlite.codec import MOST_AT_SIGHT, PROPERTIES_FACTOR, TOPIC_FACTOR, as_number

TOPIC, PAYLOAD, RECEIVED_AT, PROPERTIES, CHANGED_AT = 1, 2, 3, 7, 8
"""Positions among MESSAGE_COLUMNS."""


class Again(NamedTuple):
    """A message that was lent before and is due again. ``size`` is in bytes of memory.

    ``expired``: its lease ran out. ``suspect``: this, or its last worker died and nobody has tried it since.
    """

    due_at: float
    id: int
    expired: bool
    suspect: bool
    size: int


class Chosen(NamedTuple):
    """The messages of a claim: rows of new ones, ids of the others. ``suspect``: it is one that may have killed its worker.

    ``expired``: the suspect's lease ran out just now, and its attempt is not counted yet. ``large`` holds the ids of rows that have a length in place of a long value.
    """

    fresh: list[tuple[Any, ...]]
    again: Sequence[int]
    head: int
    suspect: bool = False
    expired: bool = False
    large: Collection[int] = ()


def choose(
    again: Sequence[Again],
    unread: Iterable[tuple[Any, ...]],
    limit: int,
    head: int,
    most_bytes: int | None,
    end: Callable[[], int],
) -> Chosen:
    """Up to ``limit`` of the messages ``again`` and of the rows ``unread``: together ``most_bytes`` at most, or one larger one.

    ``end`` tells the last id of the queue: the head once all that was never lent is lent.
    """
    left = float("inf") if most_bytes is None else most_bytes
    if not again and limit * MOST_AT_SIGHT <= left:
        unread = list(unread)
        if _hold_at_most(unread, left):
            return Chosen(unread, [], unread[-1][0] if len(unread) == limit else max(head, end()))
    return _one_by_one(again, unread, limit, head, left, end)


def _one_by_one(
    again: Sequence[Again],
    unread: Iterable[tuple[Any, ...]],
    limit: int,
    head: int,
    left: float,
    end: Callable[[], int],
) -> Chosen:
    fresh: list[tuple[Any, ...]] = []
    ids: list[int] = []
    large: set[int] = set()
    room = limit
    line: Iterator[Any] = iter(unread) if not again else heapq.merge(again, unread, key=since)
    for one in line:
        if again and type(one) is Again:
            if one.suspect:
                if not fresh and not ids:
                    return Chosen([], [one.id], head, suspect=True, expired=bool(one.expired))
                continue  # the next claim begins with it
            left -= one.size
            if left < 0 and (fresh or ids):
                break
            ids.append(one.id)
        else:
            number, topic, payload, _, _, _, _, properties, _ = one
            try:
                left -= len(payload) + TOPIC_FACTOR * len(topic)
                if properties is not None:
                    left -= PROPERTIES_FACTOR * len(properties)
            except TypeError:  # the length of what is long, or somebody's own INSERT
                left -= _held_by_large(one)
                if left >= 0 or not (fresh or ids):
                    large.add(number)
            if left < 0 and (fresh or ids):
                break
            fresh.append(one)
        room -= 1
        if not room:
            break
    else:
        return Chosen(fresh, ids, max(head, end()), large=large)
    return Chosen(fresh, ids, fresh[-1][0] if fresh else head, large=large)


def _hold_at_most(rows: Sequence[tuple[Any, ...]], most_bytes: float) -> bool:
    """Whether these rows together hold that much. False too if one of them is long, or somebody's own INSERT."""
    try:
        held = sum([len(row[PAYLOAD]) + TOPIC_FACTOR * len(row[TOPIC]) for row in rows])
        held += PROPERTIES_FACTOR * sum([len(row[PROPERTIES]) for row in rows if row[PROPERTIES] is not None])
    except TypeError:
        return False
    return held <= most_bytes


def _held_by_large(row: tuple[Any, ...]) -> int:
    payload, properties = (
        max(one, 0) if isinstance(one, int) else _length(one) for one in (row[PAYLOAD], row[PROPERTIES])
    )
    return payload + TOPIC_FACTOR * _length(row[TOPIC]) + PROPERTIES_FACTOR * properties


def _length(value: object) -> int:
    return len(value if isinstance(value, bytes | str) else str(value))


def since(one: Any) -> float:  # noqa: ANN401 - a row, or one that was lent
    """Since when it could be lent, in the store's time; a row that somebody has inserted goes by its date."""
    if type(one) is Again:
        return float(one.due_at)
    changed_at = one[CHANGED_AT]
    return changed_at if type(changed_at) is float else as_number(one[RECEIVED_AT])
