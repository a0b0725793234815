"""Deletes a queue that nobody fills any more."""

from collections.abc import Callable
from typing import Protocol

from fmq.errors import QueueInUse
from fmq.store.roles import Operating, Statistics
from fmq.store.selection import Selection, State

PRESENT_SECONDS = 30.0
"""How long a service counts as present after its last report."""
_STEP = 1_000


class _Store(Statistics, Operating, Protocol):
    """Knows its queues and its services, and deletes."""


def require_unused(store: _Store, name: str) -> None:
    """Raise QueueInUse if a present listener subscribes to the queue, or if a message is pending, claimed or dead.

    Raises UnknownQueue. The answer holds for this moment only: ``Operating.delete_queue`` looks at the messages again.
    """
    stats = store.stats(name)
    for service in store.services():
        report = service.report
        queues = report.state.get("queues")
        if report.kind != "listener" or service.unseen > PRESENT_SECONDS or not isinstance(queues, list):
            continue
        if name in queues:
            raise QueueInUse(
                f"The listener on {report.host} (process {report.pid}) subscribes to {name}. Remove the filter from its "
                f"FMQ_TOPICS and restart it, or stop it. One that was killed counts as present for {PRESENT_SECONDS:g} s"
            )
    if stats.pending or stats.claimed or stats.dead:
        raise QueueInUse(not_empty(name, stats.pending, stats.claimed, stats.dead))


def not_empty(name: str, pending: int, claimed: int, dead: int) -> str:
    """Why a queue is not deleted, and what to do."""
    counts = ((pending, "pending"), (claimed, "claimed"), (dead, "dead"))
    words = [f"{name} has messages: {', '.join(f'{number:,} {what}' for number, what in counts if number)}"]
    if claimed:
        words.append("Wait until the claimed ones are settled")
    if pending or dead:
        words.append(f"Purge what is pending or dead: fmq queue purge '{name}' --state any")
    return ". ".join(words)


def remove_queue(store: _Store, name: str, *, on_step: Callable[[int], object] = lambda _count: None) -> bool:
    """Delete a queue and its done messages, in steps that hold the write lock briefly.

    Returns False if the queue does not exist any more. ``on_step`` receives the number of messages that each step deleted.
    Raises QueueInUse (see ``require_unused``). If the queue comes into use meanwhile, its done messages may be gone already.
    """
    require_unused(store, name)
    after: int | None = 0
    while after is not None:
        found = store.find(name, Selection(State.DONE), after_id=after, limit=_STEP)
        on_step(store.delete_messages(name, found.ids, state=State.DONE))
        after = found.after_id
    return store.delete_queue(name)
