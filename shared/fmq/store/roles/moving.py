"""What moves messages to another store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fmq.message import MessageId, Receipt, Terms
from fmq.store.options import NO_TERMS
from fmq.store.records import Key, StoredMessage
from fmq.store.roles.serving import Receipts
from fmq.store.selection import State


class Moving(Receipts, Protocol):
    """Moves messages with all that a store keeps of them, between stores of any kind, for an operator."""

    def stored(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[StoredMessage]:
        """The messages with these ids that exist, by id, in any state. ``most_bytes`` is that of ``messages``."""
        ...

    def take(
        self,
        name: str,
        ids: Sequence[MessageId],
        *,
        state: State,
        most_bytes: int,
        keep: Callable[[Sequence[StoredMessage]], Receipt],
    ) -> Sequence[StoredMessage]:
        """Delete those of ``ids`` that are in ``state``, and keep the receipt that ``keep`` makes of them, in one commit.

        A claimed message is taken only if its lease has ended. Those that are left may be taken by another call:
        ``most_bytes`` is that of ``messages``. If there is none, nothing is kept.

        Raises QueueError if the number of the receipt does not follow the last one of its session (1 is the first). So
        of several callers only one goes on.
        """
        ...

    def place(
        self,
        messages: Sequence[StoredMessage],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
        keep_ids: bool = False,
    ) -> Sequence[MessageId | None]:
        """Store messages as they were in another store, and the receipt, in one commit. Returns their ids.

        The id is None if the message was not stored: because its key is known (``terms``; a delay is ignored), or because the
        session has a receipt with that number or a higher one. So a call may be repeated.

        A claimed message is lent to nobody, and its lease has ended. With ``keep_ids`` the messages have the ids that they had:
        raises QueueError if one is in use. ``stored`` counts the messages; the other totals count only what happens here.
        """
        ...

    def last_id(self, name: str) -> MessageId:
        """The last id that the queue has given to a message, or 0."""
        ...

    def skip_ids(self, name: str, last: MessageId) -> None:
        """Give new messages ids after ``last``, so that ``place`` can use those up to it."""
        ...

    def notes(self, beginning: str) -> Mapping[str, str]:
        """The notes of services whose keys begin with ``beginning``."""
        ...

    def keys(self, name: str, *, after: Key | None = None, limit: int = 1_000) -> Sequence[Key]:
        """Up to ``limit`` keys of a queue that are still remembered, after the key ``after``."""
        ...

    def remember_keys(self, name: str, keys: Sequence[Key]) -> int:
        """Remember keys as those of messages that the queue has. Returns how many the store can't keep, without their text."""
        ...
