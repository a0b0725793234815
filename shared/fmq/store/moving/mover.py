"""Moves messages from one store to another, each exactly once, whenever this process is killed.

A parcel leaves the source's queues in the commit that keeps its bytes as a receipt of the source. It arrives in a commit of the
target that keeps a receipt with its number, so that it arrives once, however often it is sent. The next parcel replaces the
receipt in the source. The next run finds the last parcel there, and sends it again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar
from uuid import uuid4

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from fmq.errors import QueueError, StoreUnavailable
from fmq.message import MessageId, Receipt
from fmq.store.moving.parcel import Parcel, content, unpack
from fmq.store.records import StoredMessage
from fmq.store.roles import Receipts, Store
from fmq.store.selection import State

OUTBOX = "fmq migrate"
"""The session of the source whose receipt is the parcel on its way."""
_PARCEL_BYTES = 8 * 1024 * 1024
_READ_BYTES = 4 * 1024 * 1024
_T = TypeVar("_T")


@dataclass(slots=True)
class Moved:
    """How many messages have moved, by state, how many of them were read again in the target, and their payloads in bytes."""

    states: Counter[State]
    checked: int = 0
    size: int = 0


class Mover:
    """Moves messages from one store to another. Retries for ``patience`` seconds while one of them is unavailable."""

    def __init__(self, source: Store, target: Store, *, patience: float = 120.0) -> None:
        self._source = source
        self._target = target
        self._target_id = target.identity()
        self._patience = patience
        self._run = str(uuid4())
        self._number = 0
        """Of the last parcel that has arrived."""
        self.moved: dict[str, Moved] = {}
        """By queue."""

    def resume(self) -> int:
        """Deliver the parcel that an earlier run has left. Returns the number of its messages.

        Raises QueueError if it is for another target, and what ``move`` raises.
        """
        parcel = _last(self._source)
        if parcel is None:
            return 0
        self._run, self._number = parcel.run, parcel.number - 1
        if not parcel.messages:
            self._number = parcel.number
            return 0
        if parcel.target != self._target_id:
            raise QueueError(
                f"{len(parcel.messages):,} messages are on their way to another store ({parcel.target}): "
                "run fmq migrate with that store first"
            )
        self._deliver(parcel)
        return len(parcel.messages)

    def move(self, name: str, ids: Sequence[MessageId], state: State, *, keep_ids: bool = False) -> Sequence[MessageId]:
        """Move the first ones of ``ids`` that are in ``state`` and free. Returns their ids; none if there are none.

        Raises StoreUnavailable, and QueueError if the target refuses them: they are in the source again then.
        """
        tries = count()
        parcel = self._patiently(lambda: self._take(name, ids, state, keep_ids=keep_ids, is_first=next(tries) == 0))
        if parcel is None:
            return ()
        self._deliver(parcel)
        return [one.message.id for one in parcel.messages]

    def finish(self) -> None:
        """Drop the last parcel that has arrived. May be called at any time, and does nothing if another run has gone on."""
        if self._number:
            self._patiently(lambda: _replace(self._source, self._run, self._number, ()))
            self._number += 1

    def _take(
        self, name: str, ids: Sequence[MessageId], state: State, *, keep_ids: bool, is_first: bool
    ) -> Parcel | None:
        parcel = None if is_first else _last(self._source)
        if parcel is not None and (parcel.run, parcel.number) == (self._run, self._number + 1):
            return parcel  # the first try was committed, and its answer lost

        def keep(found: Sequence[StoredMessage]) -> Receipt:
            nonlocal parcel
            parcel = Parcel(self._run, self._number + 1, self._target_id, keep_ids, found)
            return Receipt(OUTBOX, parcel.number, parcel.pack(), parcel.number)

        taken = self._source.take(name, ids, state=state, most_bytes=_PARCEL_BYTES, keep=keep)
        return parcel if taken else None

    def _deliver(self, parcel: Parcel) -> None:
        receipt = Receipt(f"{OUTBOX} {parcel.run}", parcel.number, b"", parcel.number)
        try:
            ids = self._patiently(
                lambda: self._target.place(parcel.messages, receipt=receipt, keep_ids=parcel.keep_ids)
            )
        except StoreUnavailable:
            raise
        except QueueError:
            self._patiently(lambda: _replace(self._source, parcel.run, parcel.number, parcel.messages))
            self._number = parcel.number + 1
            raise
        self._number = parcel.number
        for one in parcel.messages:
            moved = self.moved.setdefault(one.message.queue, Moved(Counter()))
            moved.states[one.state] += 1
            moved.size += len(one.message.payload)
        self._check(parcel.messages, ids)

    def _check(self, messages: Sequence[StoredMessage], ids: Sequence[MessageId | None]) -> None:
        """Read the messages again in the target. Raises QueueError if one is not the same.

        A message may be gone: a processor has handled it, and retention has deleted it. If a parcel had arrived before, the new
        ids are not known.
        """
        placed = {id_: one for id_, one in zip(ids, messages, strict=True) if id_ is not None}
        for name in {one.message.queue for one in placed.values()}:
            left = [id_ for id_, one in placed.items() if one.message.queue == name]
            while left:
                found = self._patiently(lambda: self._target.stored(name, left, most_bytes=_READ_BYTES))  # noqa: B023 - called at once
                for one in found:
                    if content(one) != content(placed[one.message.id]):
                        raise QueueError(
                            f"message {one.message.id} of {name} is not in the target as it was in the source"
                        )
                self.moved[name].checked += len(found)
                left = left[left.index(found[-1].message.id) + 1 :] if found else []

    def _patiently(self, call: Callable[[], _T]) -> _T:
        return Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(0.1, max=5),
            reraise=True,
        )(call)


def on_its_way(source: Receipts) -> int:
    """The number of messages that a run has left in a store when it ended early. Raises QueueError if they are damaged."""
    parcel = _last(source)
    return 0 if parcel is None else len(parcel.messages)


def _last(source: Receipts) -> Parcel | None:
    found = source.receipts(OUTBOX)
    return unpack(found[-1][1]) if found else None


def take_back(source: Store) -> int:
    """Put the messages that a run has left on their way into their queues again. Returns their number.

    Only for a target that is lost: if they have arrived, they are there twice.
    """
    parcel = _last(source)
    if parcel is None:
        return 0
    _replace(source, parcel.run, parcel.number, parcel.messages)
    return len(parcel.messages)


def _replace(source: Store, run: str, number: int, messages: Sequence[StoredMessage]) -> None:
    """Drop the parcel ``number``, and put its messages back into the source's queues, in one commit.

    An empty parcel takes its place, so that of several runs only one goes on.
    """
    empty = Parcel(run, number + 1, source.identity(), keep_ids=False, messages=())
    receipt = Receipt(OUTBOX, empty.number, empty.pack(), empty.number)
    source.place(messages, receipt=receipt, keep_ids=True)
