"""What operators do."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fmq.message import DeadLetter, Message, MessageId, Pause, Waiting
from fmq.store.records import Action, Detail, Groups, Page
from fmq.store.selection import Found, Selection, State


class Operating(Protocol):
    """Finds, reads and repairs messages in bounded steps, for an operator."""

    def find(
        self,
        name: str,
        which: Selection,
        *,
        after_id: MessageId | None = None,
        limit: int = 1_000,
        within: int = 10_000,
    ) -> Found:
        """Up to ``limit`` ids of the selected messages after the message ``after_id``. Looks at ``within`` messages at most."""
        ...

    def messages(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[Message]:
        """The messages with these ids that exist, by id, in any state. Claims nothing.

        With ``most_bytes``, only the first messages that together hold at most that much (``Message.held_bytes``), and at
        least one.
        """
        ...

    def heads(
        self,
        name: str,
        which: Selection,
        *,
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
        within: int = 10_000,
        head_bytes: int = 200,
    ) -> Page:
        """Up to ``limit`` messages without their payloads, newest first. Looks at ``within`` messages at most.

        ``text`` has to occur in the payload or the topic, in the same case. ``before`` is the ``Page.before`` of the last
        step. Dead letters are sorted by their time of death, all others by their position in the queue.
        """
        ...

    def detail(
        self, name: str, message_id: MessageId, *, head_bytes: int = 200, property_bytes: int | None = None
    ) -> Detail | None:
        """One message with its properties and its failed attempts. None if it does not exist any more.

        With ``property_bytes``, only the properties within that many of the first bytes of what is stored of them.
        """
        ...

    def payload(self, name: str, message_id: MessageId, offset: int, length: int) -> bytes | None:
        """A part of a payload, read without the rest. None if the message does not exist any more."""
        ...

    def dead_groups(self, name: str, *, before: str | None = None, within: int = 10_000) -> Groups:
        """Dead letters grouped by the fingerprint of their reasons (fmq.store.fingerprint), newest first, one step at a time."""
        ...

    def waiting(self, name: str, ids: Sequence[MessageId]) -> Mapping[MessageId, Waiting]:
        """When those of ``ids`` that are pending are due, by id."""
        ...

    def next_retry(self, name: str) -> MessageId | None:
        """The id of the pending message that is due next, among those that are not due yet."""
        ...

    def dead_letters(
        self,
        name: str,
        ids: Sequence[MessageId] | None = None,
        *,
        limit: int = 100,
        after_id: MessageId | None = None,
        most_bytes: int | None = None,
    ) -> Sequence[DeadLetter]:
        """Dead letters (``ids``, or all) after the message ``after_id``, by id. ``most_bytes`` is that of ``messages``."""
        ...

    def requeue_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        """Make dead letters (``ids``, or the oldest ``limit``) pending, with no attempts counted."""
        ...

    def requeue_done(self, name: str, ids: Sequence[MessageId]) -> int:
        """Make those of ``ids`` that are done pending again, with no attempts counted."""
        ...

    def purge_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        """Delete dead letters (``ids``, or the oldest ``limit``)."""
        ...

    def delete_messages(self, name: str, ids: Sequence[MessageId], *, state: State = State.ANY) -> int:
        """Delete those of ``ids`` that are in ``state`` and not claimed, whatever else they are."""
        ...

    def delete_queue(self, name: str) -> bool:
        """Delete the queue and its done messages. Returns False if it does not exist.

        Raises QueueInUse if a message is pending, claimed or dead. Takes the longer, the more done messages there are:
        delete them first. Ids go on where they ended if the queue is declared again, but its totals start at 0.
        """
        ...

    def pause(self, name: str, reason: str) -> bool:
        """Lend nothing to any processor until ``resume``. Messages that are already lent are settled as usual.

        Returns False if the queue was paused already. The first pause stands, with its reason, so that a rule that pauses
        queues can recognise its own pauses.
        """
        ...

    def resume(self, name: str) -> bool:
        """Lend again. Returns False if the queue was not paused."""
        ...

    def paused(self, name: str) -> Pause | None:
        """When and why the queue was paused, or None."""
        ...

    def set_order(self, name: str, *, ordered: bool) -> None:
        """Set whether the queue is claimed in order from now on. Raises QueueError while messages are lent."""
        ...


class Audit(Protocol):
    """Records what operators did to the store. The last 10,000 actions are kept."""

    def begin_action(self, *, actor: str, kind: str, queue: str = "", selection: str = "") -> int:
        """Record the start of an action. Returns its number."""
        ...

    def end_action(self, number: int, *, changed: int) -> None:
        """Record the end of an action, and how many messages it changed in all."""
        ...

    def note_progress(self, number: int, *, changed: int) -> None:
        """Record how many messages an action has changed so far."""
        ...

    def actions(self, *, before: int | None = None, limit: int = 100) -> Sequence[Action]:
        """Actions with a number below ``before``, newest first."""
        ...
