"""What is known now, and when each part of it last changed.

A client needs only one number: the version that it has seen. What it gets is always the latest, however long it took to ask, and
a slow client costs no memory.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel

from fmq_web.answers.activity import OperationView, Services, ServiceView
from fmq_web.answers.live import LiveProblem, LiveState, LiveSummary, LiveTick
from fmq_web.answers.queues import Counts
from fmq_web.live.reading import Reading

_T = TypeVar("_T", bound=BaseModel)

NOTHING = 0
"""The version that a new client has seen."""


class Board:
    """For one thread."""

    def __init__(self, build: str) -> None:
        """``build`` is the version of fmq."""
        self._build = build
        self._version = NOTHING
        self._whole_since = NOTHING
        """Who has seen less needs a whole state: queues are gone, or there was a problem."""
        self._reading: Reading | None = None
        self._queues: Mapping[str, tuple[int, Counts]] = {}
        self._operations: Mapping[str, tuple[int, OperationView]] = {}
        self._read_since = self._services_since = self._summary_since = NOTHING
        self._problem: str | None = None
        self._rendered: dict[int, bytes] = {}
        """The events for those who have seen a version: most clients have seen the same."""

    def update(self, reading: Reading, operations: Sequence[OperationView]) -> None:
        """Put up what was read now."""
        self._next()
        before = self._reading
        queues = {one.name: self._dated(self._queues.get(one.name), one) for one in reading.queues}
        if self._problem is not None or before is None or not self._queues.keys() <= queues.keys():
            self._whole_since = self._version
        self._problem = None
        self._queues = queues
        self._operations = {one.id: self._dated(self._operations.get(one.id), one) for one in operations}
        if before is None or _steady(before.services) != _steady(reading.services):
            self._services_since = self._version
        if before is None or before.whole != reading.whole:
            self._summary_since = self._version
        self._reading = reading
        self._read_since = self._version

    def fail(self, problem: str) -> None:
        """Put up that the store can't be read."""
        if problem != self._problem:
            self._next()
            self._problem = problem

    def since(self, seen: int) -> tuple[bytes, int]:
        """The events for someone who has seen version ``seen`` (empty if there are none), and the version then seen."""
        if seen >= self._version:
            return b"", seen
        if seen not in self._rendered:
            self._rendered[seen] = self._render(seen)
        return self._rendered[seen], self._version

    def _next(self) -> None:
        self._version += 1
        self._rendered.clear()

    def _dated(self, before: tuple[int, _T] | None, now: _T) -> tuple[int, _T]:
        return before if before is not None and before[1] == now else (self._version, now)

    def _render(self, seen: int) -> bytes:
        events: list[bytes] = []
        if self._reading is not None:
            if seen < self._whole_since:
                events.append(event("state", self._state(self._reading)))
            elif seen < self._read_since:
                events += self._changes(self._reading, seen)
        if self._problem is not None:
            at = None if self._reading is None else self._reading.at
            events.append(event("problem", LiveProblem(detail=self._problem, at=at)))
        return b"".join(events)

    def _state(self, reading: Reading) -> LiveState:
        return LiveState(
            version=self._build,
            at=reading.at,
            queues=reading.queues,
            services=reading.services,
            operations=[one for _since, one in self._operations.values()],
            whole=reading.whole,
        )

    def _changes(self, reading: Reading, seen: int) -> list[bytes]:
        whole: LiveSummary | None = reading.whole if self._summary_since > seen else None
        queues = [one for since, one in self._queues.values() if since > seen]
        found = [event("tick", LiveTick(at=reading.at, queues=queues, whole=whole))]
        if self._services_since > seen:
            found.append(event("workers", Services(services=reading.services)))
        return found + [event("operation", one) for since, one in self._operations.values() if since > seen]


def event(name: str, data: BaseModel) -> bytes:
    """One server-sent event. Compact JSON has no line breaks."""
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


def _steady(services: Sequence[ServiceView]) -> list[dict[str, object]]:
    """What of the services changes only when something happens."""
    return [one.model_dump(exclude={"unseen_seconds"}) for one in services]
