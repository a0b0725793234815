"""Which subscriptions the broker's session holds: it can't be asked, so it is remembered with the store."""

import json
from collections.abc import Iterable
from typing import Protocol

from fmq.topics import TopicFilter

_UNSURE = -1


class Memory(Protocol):
    """The part of a Queue that keeps notes."""

    def remember(self, key: str, value: str) -> None: ...

    def recall(self, key: str) -> str | None: ...


class Ledger:
    """The subscriptions of one session, as they are and as they should be.

    What is asked of the broker and not yet confirmed is remembered as unsure before it is sent, so that a process
    that is killed in between asks once more.
    """

    def __init__(
        self, wanted: Iterable[TopicFilter], *, memory: Memory, key: str, unwanted: Iterable[TopicFilter] = ()
    ) -> None:
        """``unwanted`` filters are taken back even if nothing is remembered of them."""
        self._wanted = tuple(wanted)
        self._unwanted = tuple(unwanted)
        self._memory = memory
        self._key = key
        self._held: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self.refused: set[str] = set()

    def recall(self) -> None:
        """Read what is remembered. A note that can't be read is none: everything is then subscribed again."""
        try:
            note = json.loads(self._memory.recall(self._key) or "{}")
        except ValueError:
            note = {}
        held = note if isinstance(note, dict) else {}
        self._held = {str(text): number for text, number in held.items() if isinstance(number, int)}

    @property
    def known(self) -> bool:
        """Whether the session is remembered to hold anything."""
        return bool(self._held)

    @property
    def former(self) -> list[str]:
        """Filters that the session may still hold and that are not wanted any more."""
        wanted = {one.text for one in self._wanted}
        return [text for text in self._held if text not in wanted]

    def begin(self, *, session_present: bool, numbers: dict[str, int]) -> list[tuple[TopicFilter, int]]:
        """What has to be subscribed on a new connection, with its identifier (0: without one).

        ``numbers`` maps queue names to identifiers; empty if identifiers can't be used.
        """
        self._numbers = numbers
        self.refused.clear()
        self._held = self._held | {one.text: _UNSURE for one in self._unwanted} if session_present else {}
        missing = self.missing()
        if missing or not session_present:
            self._held |= {one.text: _UNSURE for one, _ in missing}
            self.save()
        return missing

    def missing(self) -> list[tuple[TopicFilter, int]]:
        """What is wanted and not known to be held."""
        each = ((one, self._numbers.get(one.name, 0)) for one in self._wanted)
        return [(one, number) for one, number in each if self._held.get(one.text) != number]

    def held(self, one: TopicFilter, number: int) -> None:
        """The broker granted it."""
        self._held[one.text] = number
        self.refused.discard(one.text)

    def refuse(self, one: TopicFilter) -> None:
        """The broker refused it."""
        self.refused.add(one.text)

    def gone(self, text: str) -> None:
        """The broker has removed it."""
        self._held.pop(text, None)

    def save(self) -> None:
        """Keep what is known. Raises StoreUnavailable."""
        self._memory.remember(self._key, json.dumps(self._held))
