"""What `fmq status` shows of a moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fmq.cli.common.output import moment, next_attempt
from fmq.cli.common.table import Column, table_lines, terminal_width
from fmq.message import QueueStats, StoreStats, Waiting
from fmq.service.log import shorten
from fmq.service.reporting.routes import RouteState
from fmq.text import counted, plain, without_password

MOST_SET_ASIDE = 10_000
"""Up to which number the messages that wait for a route are counted."""
_COLUMNS = (
    Column("QUEUE", cut="middle"),
    "PENDING",
    "CLAIMED",
    Column("DONE", may_go=1),
    "DEAD",
    Column("STORED", may_go=2),
)
_ROUTE_COLUMNS = (
    Column("ROUTE", cut="middle"),
    Column("QUEUES", cut="end"),
    Column("TOPICS", cut="end", may_go=1),
    Column("HANDLER", cut="middle", may_go=2),
    Column("CIRCUIT", cut="end"),
    Column("RATE LIMIT", cut="end"),
    "IN PROGRESS",
    Column("PROCESSOR", cut="middle", may_go=3),
)
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """The state at one moment; ``at`` is in steady seconds."""

    at: float
    queues: list[QueueStats]
    fit: int
    """How many queues there are that fit the filter."""
    store: StoreStats
    retries: dict[str, tuple[int, Waiting]]
    """The message of each queue whose retry is due next."""
    aside: dict[str, Mapping[str, int]]
    """The messages of each queue that wait for a route, by its name."""
    routes: list[tuple[str, RouteState]]
    """The routes of all processors at work, with the processor's name."""


def page(url: str, look: Look, rates: dict[str, tuple[float, float]] | None) -> list[str]:
    """The lines of a page about the store ``url``. ``rates`` are messages per second into and out of each queue."""
    head = (*_COLUMNS, *(() if rates is None else ("IN/S", "OUT/S")), "OLDEST PENDING")
    rows = [
        (
            *(one.name, one.pending, one.claimed, one.done, one.dead, one.stored),
            *(() if rates is None else _shown(rates.get(one.name))),
            moment(one.oldest_pending_at),
        )
        for one in look.queues
    ]
    pauses = [
        plain(f"{one.name} is paused since {moment(one.paused.since)}: {one.paused.reason}")
        for one in look.queues
        if one.paused is not None
    ]
    retries = [
        plain(f"{name}: message {number} is tried next {next_attempt(waits)}{_because(waits)}")
        for name, (number, waits) in look.retries.items()
    ]
    aside = [plain(_waiting(name, route, n)) for name, found in look.aside.items() for route, n in found.items()]
    more = [f"{len(rows)} of {look.fit:,} queues"] if len(rows) < look.fit else []
    if not look.fit:
        more = ["No queue to show. A listener creates one for each of its topic filters: fmq listen TOPIC"]
    return [
        *table_lines(head, rows, width=terminal_width()),
        "",
        *more,
        *pauses,
        *retries,
        *aside,
        *_route_table(look.routes),
        _sizes(url, look.store),
    ]


def _waiting(name: str, route: str, count: int) -> str:
    many = f"{count:,} or more messages" if count >= MOST_SET_ASIDE else counted(count, "message")
    if route:
        return f"{name}: {many} set aside for the route {shorten(route)}"
    return f"{name}: {many} that no route takes. Add a route; `fmq release` offers them again at once"


def _route_table(routes: Sequence[tuple[str, RouteState]]) -> list[str]:
    """Routes that differ from the only one of a processor without any limit, which the table of queues shows well enough."""
    if not any(one.rate or one.topics or one.circuit != "closed" for _, one in routes) and len(routes) <= len(
        {processor for processor, _ in routes}
    ):
        return []
    rows = [
        (
            *(one.name, ", ".join(one.queues) or "all"),
            *(", ".join(one.topics) or "all", one.handler, one.circuit, one.rate or "-", one.in_hand, processor),
        )
        for processor, one in routes
    ]
    return [*table_lines(_ROUTE_COLUMNS, rows, width=terminal_width()), ""]


def _sizes(url: str, store: StoreStats) -> str:
    sizes = [f"{store.database_bytes / _MIB:.1f} MiB"]
    if store.wal_bytes is not None:
        sizes.append(f"write-ahead log {store.wal_bytes / _MIB:.1f} MiB")
    if store.free_disk_bytes is not None:
        sizes.append(f"free on its disk {store.free_disk_bytes / _MIB:,.0f} MiB")
    return f"{plain(without_password(url))}: {', '.join(sizes)}"


def _shown(rates: tuple[float, float] | None) -> tuple[str, ...]:
    return ("-", "-") if rates is None else tuple(f"{rate:,.1f}" for rate in rates)


def _because(waits: Waiting) -> str:
    return f"; the last attempt failed: {shorten(waits.reason.partition(chr(10))[0])}" if waits.reason else ""
