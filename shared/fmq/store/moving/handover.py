"""What a target needs before messages move and a listener or processors start on it: queues, flags, notes and keys.

It is done while no listener runs on either store, so nothing changes meanwhile. A note in the target says that it is done.
"""

import json
from collections.abc import Sequence
from uuid import UUID

from fmq.errors import QueueError, QueueInUse
from fmq.message import MessageId, Receipt
from fmq.store.removal import PRESENT_SECONDS
from fmq.store.roles import Store

PAUSE = "fmq migrate: "
"""How the reason of a pause begins that keeps the order of a queue while its messages move."""
_LEAVES = f"{PAUSE}messages move to "
_CLIENT_IDS = "client ids"
_OF_SESSIONS = ("subscriptions:", "retained:", "numbering:")
_SUBSCRIPTIONS = _OF_SESSIONS[0]
_SPARE_IDS = 1_000_000
"""How many ids beyond the last one of the source stay free, for messages that still come there."""


def require_no_listener(source: Store) -> None:
    """Raise QueueInUse if a present listener stores messages in the source."""
    for service in source.services():
        if service.report.kind == "listener" and service.unseen <= PRESENT_SECONDS:
            raise QueueInUse(
                f"The listener on {service.report.host} (process {service.report.pid}) still stores messages in the source. Stop it. "
                f"One that was killed counts as present for {PRESENT_SECONDS:g} s"
            )


class Handover:
    """Prepares a target for the messages of a source."""

    def __init__(self, source: Store, target: Store, *, source_name: str, target_name: str) -> None:
        """The names are for people."""
        self._source = source
        self._target = target
        self._waits = f"{PAUSE}older messages are still in {source_name}"
        self._leaves = f"{_LEAVES}{target_name}"
        self._key = f"migrated from: {source.identity()}"
        noted = target.recall(self._key)
        self.is_done = noted is not None
        self._prepared: dict[str, MessageId | None] = json.loads(noted or "{}")
        """By queue; if it is delivered in order, the last id that the target leaves to the source's messages."""

    def refusals(self, names: Sequence[str]) -> Sequence[str]:
        """Why queues can't be moved now. A queue that is delivered in order needs one in the target that is empty."""
        there = set(self._target.names())
        return [
            f"{name} is delivered in order, and the target already has messages of it, which would come before older ones. "
            f"Pause it in the target (fmq pause '{name}'), let processors of the source work it off, resume it, and run fmq migrate again"
            for name in names
            if self._needs_order(name)
            and self._prepared.get(name) is None
            and name in there
            and any(_counts(self._target, name))
        ]

    def prepare(self, names: Sequence[str]) -> Sequence[str]:
        """Create the queues with their flags and keys; at the first time, copy notes. Returns what people have to know.

        May be repeated. Raises QueueError with all ``refusals``.
        """
        if refusals := self.refusals(names):
            raise QueueError("\n".join(refusals))
        told = [] if self.is_done else [*self._copy_sessions()]
        new = [name for name in names if name not in self._prepared]
        for name in names:
            self._target.declare(name)
            if name in new:
                self._copy_flags(name)
            if self._needs_order(name):
                self._keep_order(name)
        told += self._copy_keys(new)
        self._target.remember(self._key, json.dumps({**dict.fromkeys(new), **self._prepared}))
        self.is_done = True
        return told

    def _copy_flags(self, name: str) -> None:
        order = self._source.ordered(name)
        if order is not None and self._target.ordered(name) is None:
            self._target.set_order(name, ordered=order)
        former = self._target.paused(name)
        if former is not None and former.reason.startswith(_LEAVES):  # since its messages moved the other way
            self._target.resume(name)
        paused = self._source.paused(name)
        if paused is not None and not paused.reason.startswith(PAUSE):
            self._target.pause(name, paused.reason)

    def _keep_order(self, name: str) -> None:
        if self._prepared.get(name) is None:
            self._target.pause(name, self._waits)
            self._prepared[name] = last = self._source.last_id(name) + _SPARE_IDS
            self._target.skip_ids(name, last)

    def begin(self, name: str) -> bool:
        """Begin to move a queue. Returns whether its ids have to be kept, since it is delivered in order.

        Nothing of such a queue is lent in either store until ``end``. Raises QueueError if that is no longer possible.
        """
        last = self._prepared.get(name)
        if last is None:
            return False
        self._source.pause(name, self._leaves)
        if self._source.last_id(name) > last:
            raise QueueError(f"too many messages of {name} have come to the source since the target was prepared")
        return True

    def end(self, name: str) -> None:
        """All messages of the queue have moved: the target delivers them, unless an operator has paused the queue."""
        pause = self._target.paused(name)
        if pause is not None and pause.reason.startswith(PAUSE):
            self._target.resume(name)

    def _needs_order(self, name: str) -> bool:
        pending, claimed, _, _ = _counts(self._source, name)
        return bool(self._source.ordered(name)) and pending + claimed > 0

    def _copy_sessions(self) -> Sequence[str]:
        """Copy what a listener knows of its sessions at the broker, as far as the target does not know them."""
        told: list[str] = []
        ids = self._source.recall(_CLIENT_IDS)
        if ids is not None and not self._target.exchange(_CLIENT_IDS, None, ids):
            known = self._target.recall(_CLIENT_IDS)
            if known != ids:
                told.append(
                    "The target has client ids of its own, so its listener does not continue the broker's sessions of the source "
                    f"({', '.join(json.loads(ids))}). Take their messages: fmq listen --leave, on the source"
                )
        for beginning in _OF_SESSIONS:
            for key, value in self._source.notes(beginning).items():
                is_copied = self._target.exchange(key, None, value)
                if is_copied and beginning == _SUBSCRIPTIONS:
                    self._copy_receipts(key.removeprefix(beginning))
        return told

    def _copy_receipts(self, session: str) -> None:
        found = self._source.receipts(session)
        for number, data in found:
            self._target.put([], receipt=Receipt(session, number, data, found[0][0]))

    def _copy_keys(self, names: Sequence[str]) -> Sequence[str]:
        left = 0
        for name in names:
            after = None
            while keys := self._source.keys(name, after=after):
                left += self._target.remember_keys(name, keys)
                after = keys[-1]
        if not left:
            return ()
        why = "since the source keeps only their digests. A duplicate of an older message is stored in the target"
        return [f"{left:,} keys of duplicates can't be copied, {why}"]


def _counts(store: Store, name: str) -> tuple[int, int, int, int]:
    stats = store.stats(name)
    return stats.pending, stats.claimed, stats.done, stats.dead


def require_different(source: UUID, target: UUID) -> None:
    """Raise QueueError if one store is a copy of the other: its messages would be there twice."""
    if source == target:
        raise QueueError("both stores have the same identity: one is a copy of the other")
