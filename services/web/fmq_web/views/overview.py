"""All queues on one page. Its time depends on the number of queues alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fmq.clock import Clock
from fmq.errors import UnknownQueue
from fmq.store.records import Minute
from fmq.store.roles import Operating, Statistics
from fmq_web.answers.activity import ServiceView
from fmq_web.answers.live import LiveSummary
from fmq_web.answers.queues import RETRYING_LIMIT, Counts, Overview, PauseState, QueueRow, StoreSizes, Tide
from fmq_web.views import minutes, sentences
from fmq_web.views.needs import queue_needs, server_needs, store_needs
from fmq_web.views.services import services

Rates = Callable[[str], tuple[float, float] | None]
"""In and out of a queue in messages a second, as measured lately; None if nobody has."""
_SHOWN_MINUTES = 60
_RATE_MINUTES = 8
_C = TypeVar("_C", bound=Counts)


class Readable(Statistics, Operating, Protocol):
    """What the overview reads."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is read once for all queues."""

    now: float
    history: Sequence[Minute]
    services: Sequence[ServiceView]
    rates: Rates | None
    tides: Sequence[Mapping[str, Tide]]
    """Those of the history's minutes."""

    @property
    def latest(self) -> Sequence[Mapping[str, Tide]]:
        """The last minutes, from which rates are taken."""
        return self.tides[-_RATE_MINUTES:]

    @property
    def minute(self) -> int:
        """The present minute, which is not full yet."""
        return int(self.now // minutes.MINUTE)


def moment(store: Statistics, clock: Clock, rates: Rates | None, *, name: str | None = None) -> Moment:
    """Read the last hour and the services; with ``name``, the hour of that queue alone."""
    now = clock.wall()
    since = int(now // minutes.MINUTE) - _SHOWN_MINUTES - 1
    return moment_of(now, store.history(since=since, name=name), services(store).services, rates)


def moment_of(now: float, history: Sequence[Minute], known: Sequence[ServiceView], rates: Rates | None) -> Moment:
    """A moment with a history that has been read before."""
    return Moment(now, history, known, rates, minutes.tides(history))


def overview(store: Readable, clock: Clock, rates: Rates | None = None) -> Overview:
    """All queues: those with needs first, then by name. ``rates`` are the sampler's; without them the history's."""
    at = moment(store, clock, rates)
    rows = each_queue(store, at, queue_row)
    return Overview(at=at.now, queues=rows, **dict(whole(store, at, rows)))


def each_queue(store: Readable, at: Moment, read: Callable[[Readable, str, Moment], _C]) -> list[_C]:
    """What ``read`` says of each queue: those with needs first, then by name."""
    rows: list[_C] = []
    for name in store.names():
        with suppress(UnknownQueue):  # deleted since
            rows.append(read(store, name, at))
    rows.sort(key=lambda one: not one.needs)  # it is stable: by name within
    return rows


def whole(store: Readable, at: Moment, rows: Sequence[Counts]) -> LiveSummary:
    """What is said of all queues together."""
    sizes = store.store_stats()
    needs = store_needs(sizes, at.services, now=at.now, has_queues=bool(rows)) + server_needs(store.server_state())
    return LiveSummary(
        summary=sentences.summary(rows, needs),
        detail=sentences.detail(rows, at.services),
        sizes=StoreSizes(
            database_bytes=sizes.database_bytes, log_bytes=sizes.wal_bytes, free_disk_bytes=sizes.free_disk_bytes
        ),
        needs=needs,
        total_stored=sum(one.stored for one in rows),
    )


def queue_row(store: Readable, name: str, at: Moment) -> QueueRow:
    """One queue. Raises UnknownQueue."""
    return QueueRow(
        **dict(queue_counts(store, name, at)),
        last_hour=[one[name] for one in at.tides if name in one],
        last_message_at=store.last_received_at(name),
    )


def queue_counts(store: Readable, name: str, at: Moment) -> Counts:
    """The figures of one queue that change all the time. Read each second while a page is open. Raises UnknownQueue."""
    stats = store.stats(name)
    rates = (at.rates and at.rates(name)) or minutes.recent_rates(
        [one[name] for one in at.latest if name in one], at.minute
    )
    return Counts(
        name=name,
        stored=stats.stored,
        handled=stats.handled,
        failed=stats.failed,
        died=stats.died,
        waiting=stats.pending,
        running=stats.claimed,
        retrying=store.retrying(name, most=RETRYING_LIMIT) if stats.pending else 0,
        done=stats.done,
        dead=stats.dead,
        oldest_seconds=None if stats.oldest_pending_at is None else max(0.0, at.now - stats.oldest_pending_at),
        in_per_second=rates[0] if rates else None,
        out_per_second=rates[1] if rates else None,
        drain_seconds=stats.pending / (rates[1] - rates[0])
        if rates and stats.pending and rates[1] > rates[0]
        else None,
        paused=None if stats.paused is None else PauseState(since=stats.paused.since, reason=stats.paused.reason),
        needs=queue_needs(
            stats,
            at.services,
            now=at.now,
            stands_still=minutes.stands_still(at.history, stats, at.minute),
            dies=minutes.dies(at.history, stats, at.minute),
        ),
    )
