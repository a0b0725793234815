"""Which messages an operator selects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from fmq.message import MessageId
from fmq.store.fingerprint import fingerprint
from fmq.topics import matches, parse


class State(StrEnum):
    """Where a message stands in its life."""

    ANY = "any"
    """Every message. Only in a Selection."""
    PENDING = "pending"
    """Neither settled nor claimed. In a Selection it includes delayed messages."""
    DELAYED = "delayed"
    """Pending, but not due yet: it waits for a retry or for the end of its delay."""
    CLAIMED = "claimed"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Selection:
    """Messages in one state.

    ``topic`` is a topic filter, ``reason`` a part of the reason in any case, ``fingerprint`` that of the reason
    (fmq.store.fingerprint). ``since`` and ``until`` bound when they came into that state (for a message that is not settled:
    when it was received), in Unix seconds, the first included. ``last_id`` is the last message, in the order of arrival, that it
    may select. Raises ValueError if ``topic`` is not a topic filter.
    """

    state: State
    topic: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    fingerprint: str | None = None
    last_id: MessageId | None = None

    def __post_init__(self) -> None:
        if self.topic is not None:
            parse(self.topic)

    @property
    def everything(self) -> bool:
        """Whether it selects all messages in the state."""
        return (self.topic, self.reason, self.since, self.until, self.fingerprint, self.last_id) == (None,) * 6

    def __str__(self) -> str:
        """In words, for people."""
        words = [self.state.value]
        for name, value in (("topic", self.topic), ("reason", self.reason), ("group", self.fingerprint)):
            if value is not None:
                words.append(f"{name} {value!r}")
        for name, at in (("since", self.since), ("until", self.until)):
            if at is not None:
                words.append(f"{name} {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z")
        if self.last_id is not None:
            words.append(f"up to message {self.last_id}")
        return ", ".join(words)

    def is_beyond(self, message_id: MessageId) -> bool:
        """Whether no message from this one on can be selected."""
        return self.last_id is not None and message_id >= self.last_id

    def among(self, rows: Sequence[tuple[int, str, float, str]]) -> list[int]:
        """The ids of the rows (id, topic, time, reason) whose id, topic, time and fingerprint match."""
        levels = None if self.topic is None else parse(self.topic).name.split("/")
        first = float("-inf") if self.since is None else self.since
        end = float("inf") if self.until is None else self.until
        return [
            number
            for number, topic, at, reason in rows
            if first <= at < end
            and (self.last_id is None or number <= self.last_id)
            and (levels is None or matches(levels, topic))
            and (self.fingerprint is None or fingerprint(reason) == self.fingerprint)
        ]


class Found(NamedTuple):
    """The result of one step of a search: matching ids, how many messages it looked at, and the message after which to continue.

    ``after_id`` is None at the end.
    """

    ids: Sequence[int]
    looked_at: int
    after_id: MessageId | None
