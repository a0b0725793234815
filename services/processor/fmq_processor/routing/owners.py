"""Which route a message belongs to. No I/O."""

from collections.abc import Sequence
from typing import NamedTuple

from fmq.topics import QUARANTINE, matches

_REMEMBERED = 10_000


class Claimant(NamedTuple):
    """What a route wants: its queues (none: all queues but the quarantine), and topic filters within them (none: all topics)."""

    name: str
    queues: Sequence[str] = ()
    topics: Sequence[str] = ()


class Owners:
    """Finds the first of several routes that wants a message."""

    def __init__(self, claimants: Sequence[Claimant]) -> None:
        self._claimants = claimants
        self._filters = [[topic.split("/") for topic in one.topics] for one in claimants]
        self._by_queue: dict[str, Sequence[int]] = {}
        self._known: dict[tuple[str, str], int | None] = {}
        self.names = frozenset(one.name for one in claimants)

    def name(self, owner: int) -> str:
        """The name of the route with the number ``owner``."""
        return self._claimants[owner].name

    def is_shared(self, queue: str) -> bool:
        """Whether not all messages of ``queue`` belong to the same route."""
        wanting = self._wanting(queue)
        return bool(wanting) and bool(len(wanting) > 1 or self._filters[wanting[0]])

    def owner(self, queue: str, topic: str) -> int | None:
        """The number of the first route that wants a message of ``queue`` with this topic; None if no route does."""
        key = queue, topic
        if key in self._known:
            return self._known[key]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        found = next((one for one in self._wanting(queue) if self._wants(one, topic)), None)
        self._known[key] = found
        return found

    def _wanting(self, queue: str) -> Sequence[int]:
        """The routes that want messages of ``queue``."""
        found = self._by_queue.get(queue)
        if found is None:
            found = self._by_queue[queue] = [
                number
                for number, one in enumerate(self._claimants)
                if (queue in one.queues if one.queues else queue != QUARANTINE)
            ]
        return found

    def _wants(self, number: int, topic: str) -> bool:
        filters = self._filters[number]
        return not filters or any(matches(one, topic) for one in filters)
