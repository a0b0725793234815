"""What operations there are. A new one is one line here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fmq.message import QueueStats
from fmq.store.removal import require_unused
from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.answers.activity import OperationKind


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of operation. ``apply`` changes messages by their ids in one commit and returns how many it changed."""

    state: State
    """The state of the messages that it changes."""
    counter: Callable[[QueueStats], int]
    """How many messages are in that state."""
    apply: Callable[[Store, str, Sequence[int]], int]
    check: Callable[[Store, str], object] = lambda _store, _name: None
    """Raises QueueError if the queue can't be changed so at the moment."""
    finish: Callable[[Store, str], object] = lambda _store, _name: None
    """Called after the last message, unless the operation was stopped before. Called again if the store was unavailable."""


def _delete(store: Store, name: str) -> None:
    require_unused(store, name)  # a listener may have come meanwhile
    store.delete_queue(name)


KINDS: Mapping[OperationKind, Kind] = {
    "requeue": Kind(State.DEAD, lambda stats: stats.dead, lambda store, name, ids: store.requeue_dead(name, ids)),
    "purge": Kind(State.DEAD, lambda stats: stats.dead, lambda store, name, ids: store.purge_dead(name, ids)),
    "handle-again": Kind(State.DONE, lambda stats: stats.done, lambda store, name, ids: store.requeue_done(name, ids)),
    "purge-queue": Kind(
        State.ANY,
        lambda stats: stats.pending + stats.done + stats.dead,
        lambda store, name, ids: store.delete_messages(name, ids),
    ),
    "delete-queue": Kind(
        State.DONE,  # the queue has no others; in steps, since the last one takes the longer the more are left
        lambda stats: stats.done,
        lambda store, name, ids: store.delete_messages(name, ids, state=State.DONE),
        check=require_unused,
        finish=_delete,
    ),
}
