"""Which subscriptions the broker's session may hold, kept with the store to take back those that were removed.

The note never decides what to subscribe to: a broker that is killed before it saves, or restored from a backup, comes
back with the session and without some of its subscriptions. So every connection subscribes to all of them.
"""

import json
from collections.abc import Iterable

from fmq.store.roles import Notes
from fmq.topics import TopicFilter

ANSWER_SECONDS = 30.0
"""How long the broker may take to answer SUBSCRIBE and UNSUBSCRIBE."""
_ASKED, _REMOVED, _HELD = -1, 0, 1
_REMOVED_KEPT = 256
"""How many removed filters are kept: a broker that is restored from a backup may hold them again."""


class Ledger:
    """The subscriptions of one session, by topic filter: asked for, granted, or removed."""

    def __init__(
        self, wanted: Iterable[TopicFilter], *, notes: Notes, key: str, unwanted: Iterable[TopicFilter] = ()
    ) -> None:
        """``unwanted`` filters are taken back even if the note does not hold them."""
        self.wanted = tuple(wanted)
        self._unwanted = tuple(unwanted)
        self._notes = notes
        self._key = key
        self._noted: dict[str, int] = {}
        self._saved: dict[str, int] = {}

    @property
    def known(self) -> bool:
        """Whether the note says that the session holds a subscription."""
        return any(self._noted.values())

    @property
    def former(self) -> dict[str, bool]:
        """Filters that are no longer wanted, each with whether the broker has not confirmed yet that it removed it."""
        wanted = {one.text for one in self.wanted}
        return {text: state != _REMOVED for text, state in self._noted.items() if text not in wanted}

    def recall(self) -> None:
        """Read the note; one that can't be read counts as empty. Raises StoreUnavailable."""
        try:
            note = json.loads(self._notes.recall(self._key) or "{}")
        except ValueError:
            note = {}
        found = note if isinstance(note, dict) else {}
        self._noted = {str(text): state for text, state in found.items() if isinstance(state, int)}
        self._saved = dict(self._noted)

    def begin(self, *, session_present: bool) -> frozenset[str]:
        """Note what is about to be asked for on a new connection. Raises StoreUnavailable.

        Returns the names of the filters that this session has held before. A process that is killed before the broker's
        answer leaves the note behind, so nothing that was asked for is forgotten.
        """
        if not session_present:
            self._noted = {}
        before = frozenset(one.name for one in self.wanted if self._noted.get(one.text, _ASKED) > _REMOVED)
        for one in (*self.wanted, *self._unwanted):
            if self._noted.get(one.text, _REMOVED) == _REMOVED:
                self._noted[one.text] = _ASKED
        self.save()
        return before

    def granted(self, one: TopicFilter) -> None:
        """The broker has granted it."""
        self._noted[one.text] = _HELD

    def removed(self, text: str) -> None:
        """The broker has confirmed that it removed it."""
        self._noted.pop(text, None)
        self._noted[text] = _REMOVED  # the last one, in the order of removal
        old = [text for text, state in self._noted.items() if state == _REMOVED]
        for one in old[:-_REMOVED_KEPT]:
            del self._noted[one]

    def save(self) -> None:
        """Write the note if it has changed. Raises StoreUnavailable."""
        if self._noted != self._saved:
            self._notes.remember(self._key, json.dumps(self._noted))
            self._saved = dict(self._noted)
