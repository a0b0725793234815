"""Which messages an operator means. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from fmq.topics import matches, parse


class State(StrEnum):
    """What becomes of a message that nobody holds."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Selection:
    """Messages in one state.

    ``topic`` is a topic filter, ``reason`` a part of the reason, whatever its case. ``since`` and ``until`` bound when
    they came into that state (a pending one: when it was received), in Unix seconds, the first included. Raises
    ValueError if ``topic`` is no topic filter.
    """

    state: State
    topic: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None

    def __post_init__(self) -> None:
        if self.topic is not None:
            parse(self.topic)

    @property
    def everything(self) -> bool:
        """Whether all messages in the state are meant."""
        return (self.topic, self.reason, self.since, self.until) == (None, None, None, None)

    def among(self, rows: Sequence[tuple[int, str, float]]) -> list[int]:
        """The ids of those rows (id, topic, moment) whose topic and moment fit."""
        levels = None if self.topic is None else parse(self.topic).name.split("/")
        first = float("-inf") if self.since is None else self.since
        end = float("inf") if self.until is None else self.until
        return [
            number for number, topic, at in rows if first <= at < end and (levels is None or matches(levels, topic))
        ]


class Found(NamedTuple):
    """What one step of a search found: the ids that fit, how many messages were looked at, and where to go on.

    ``after_id`` is None when there is nothing further.
    """

    ids: Sequence[int]
    looked_at: int
    after_id: int | None
