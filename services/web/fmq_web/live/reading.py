"""What the sampler reads of a store at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from fmq.clock import Clock
from fmq.store.records import Minute
from fmq.store.roles import Store
from fmq_web.answers.activity import ServiceView
from fmq_web.answers.live import LiveSummary
from fmq_web.answers.queues import Counts
from fmq_web.views.overview import Moment, Rates, each_queue, moment, moment_of, queue_counts, whole
from fmq_web.views.services import services

_HISTORY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole store at one moment, in Unix time."""

    at: float
    queues: list[Counts]
    services: list[ServiceView]
    whole: LiveSummary


class Reader:
    """Reads everything that the stream sends. One thread at a time.

    It costs little, since it runs each second: the history, which grows once a minute, is read now and then only.
    """

    def __init__(self) -> None:
        self._history: tuple[float, Sequence[Minute]] | None = None

    def __call__(self, store: Store, clock: Clock, rates: Rates) -> Reading:
        """Read all queues and services. ``rates`` are those known so far. Raises QueueError."""
        at = self._moment(store, clock, rates)
        queues = each_queue(store, at, queue_counts)
        return Reading(at.now, queues, list(at.services), whole(store, at, queues))

    def _moment(self, store: Store, clock: Clock, rates: Rates) -> Moment:
        if self._history is None or clock.steady() - self._history[0] >= _HISTORY_SECONDS:
            at = moment(store, clock, rates)
            self._history = (clock.steady(), at.history)
            return at
        return moment_of(clock.wall(), self._history[1], services(store).services, rates)
