"""One queue."""

from typing import Protocol

from fmq.clock import Clock
from fmq.store.roles import Lending
from fmq_web.answers.queues import QueueView
from fmq_web.views.asking import about
from fmq_web.views.overview import Rates, Readable, moment, queue_row
from fmq_web.views.services import at_work


class _Store(Readable, Lending, Protocol):
    """What the view reads."""


def queue_view(store: _Store, clock: Clock, name: str, rates: Rates | None = None) -> QueueView:
    """A queue's figures, and who serves it. Raises Problem 404."""
    with about(name):
        at = moment(store, clock, rates, name=name)
        row = queue_row(store, name, at)
        ordered = store.ordered(name)
    subscribed = bool(at_work(at.services, "listener", name))
    return QueueView(
        at=at.now,
        counts=row,
        ordered=ordered,
        subscribed=subscribed,
        deletable=not (subscribed or row.waiting or row.running or row.dead),
        handled_by=[one.name for one in at_work(at.services, "processor", name)],
    )
