"""`fmq status`: shows the state of the queues, once or repeatedly."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as numbers
from math import inf
from typing import Any

import click

from fmq.cli.common.json_output import print_shape, queue_shape, store_shape, time_of
from fmq.cli.common.numbers import Count
from fmq.cli.common.output import moment, next_attempt
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.shapes import StatusShape
from fmq.cli.common.stopping import stoppable
from fmq.cli.common.table import Column, table_lines, terminal_width
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.errors import Stopped, UnknownQueue
from fmq.message import QueueStats, StoreStats, Waiting
from fmq.service.log import shorten
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq.text import plain, without_password

_COLUMNS = (
    Column("QUEUE", cut="middle"),
    "PENDING",
    "CLAIMED",
    Column("DONE", may_go=1),
    "DEAD",
    Column("STORED", may_go=2),
)
_MIB = 1024 * 1024
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR_SCREEN = "\x1b[2J"


@dataclass(frozen=True, slots=True)
class _Look:
    """The state at one moment; ``at`` is in steady seconds."""

    at: float
    queues: list[QueueStats]
    fit: int
    """How many queues there are that fit the filter."""
    store: StoreStats
    retries: dict[str, tuple[int, Waiting]]
    """The message of each queue whose retry is due next."""


_SORTS: Mapping[str, Callable[[QueueStats], Any]] = {
    "name": lambda one: one.name,
    "age": lambda one: inf if one.oldest_pending_at is None else one.oldest_pending_at,
    "pending": lambda one: -one.pending,
    "claimed": lambda one: -one.claimed,
    "dead": lambda one: -one.dead,
    "stored": lambda one: -one.stored,
}
"""What comes first: the largest number, the longest wait, or the alphabet."""
_FILTERS: Mapping[str, Callable[[QueueStats], object]] = {
    "pending": lambda one: one.pending,
    "claimed": lambda one: one.claimed,
    "dead": lambda one: one.dead,
    "paused": lambda one: one.paused,
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which queues to show, how many of them, and in which order."""

    names: Sequence[str]
    only: Sequence[str]
    sort: str
    limit: int | None

    def of(self, store: Store) -> tuple[list[QueueStats], int]:
        """The queues to show, and how many there are that fit. Raises UnknownQueue."""
        found = [store.stats(name) for name in dict.fromkeys(self.names)] if self.names else store.all_stats()
        fit = [one for one in found if not self.only or any(_FILTERS[what](one) for what in self.only)]
        return sorted(fit, key=_SORTS[self.sort])[: self.limit], len(fit)


@click.command(cls=SettingsCommand, short_help="Show the number of messages in each queue, by state.")
@click.argument("queues", type=QUEUE, nargs=-1, metavar="[QUEUE]...")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(_FILTERS)),
    help="Show only queues that have such messages, or are paused. May be repeated.",
)
@click.option(
    "--sort",
    type=click.Choice(list(_SORTS)),
    default="name",
    show_default=True,
    help="What comes first: the name, the longest wait (age), or the largest number.",
)
@click.option("--limit", type=Count(1), help="Maximum number of queues to show.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json); with --watch, one per line."
)
@click.option("--watch", is_flag=True, help="Repeat, with rates, until you press Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between two updates."
)
@click.option("--count", type=Count(1), help="Stop after this number of updates.")
@settings_options(StoreSettings, but=("check_integrity", "synchronous"))
def status(
    queues: tuple[str, ...],
    *,
    only: tuple[str, ...],
    sort: str,
    limit: int | None,
    as_json: bool,
    watch: bool,
    interval: float,
    count: int | None,
    **flags: object,
) -> None:
    """Show how many messages of each QUEUE (default: all) are pending, claimed, done and dead."""
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    wanted = _Wanted(queues, only, sort, limit)
    with open_store(settings.queue_url, settings.store_options(Durability.NORMAL), create=False) as store:
        if watch:
            _watch(store, settings.queue_url, wanted, interval=interval, count=count, as_json=as_json)
            return
        look = _look(store, wanted)
    if as_json:
        print_shape(_shape(look, {}))
    else:
        click.echo("\n".join(_page(settings.queue_url, look, None)))


def _watch(store: Store, url: str, wanted: _Wanted, *, interval: float, count: int | None, as_json: bool) -> None:
    live = sys.stdout.isatty() and not as_json
    before: _Look | None = None
    with stoppable() as stop, suppress(Stopped):  # Ctrl-C is the usual way to stop, not a failure
        for number in numbers(1):
            look = _look(store, wanted)
            if as_json:
                print_shape(_shape(look, _rates(look, before)), in_one_line=True)
            else:
                _draw(_page(url, look, _rates(look, before)), live=live, first=number == 1)
            before = look
            if number == count:
                return
            stop.wait(interval)


def _draw(lines: list[str], *, live: bool, first: bool) -> None:
    if not live:
        click.echo("\n".join([*lines, ""]))
        return
    # Line by line over the old output: clearing the screen first would flicker.
    start = _CLEAR_SCREEN + _HOME if first else _HOME
    click.echo(start + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW, nl=False)


def _look(store: Store, wanted: _Wanted) -> _Look:
    queues, fit = wanted.of(store)
    retries = {}
    for name in [one.name for one in queues]:
        with suppress(UnknownQueue):  # deleted meanwhile
            number = store.next_retry(name)
            if number is not None and (waits := store.waiting(name, [number]).get(number)) is not None:
                retries[name] = (number, waits)
    return _Look(SYSTEM_CLOCK.steady(), queues, fit, store.store_stats(), retries)


def _rates(look: _Look, before: _Look | None) -> dict[str, tuple[float, float]]:
    """Messages per second into each queue and out of it. Empty for the first look."""
    if before is None:
        return {}
    seconds = look.at - before.at
    old = {one.name: one for one in before.queues}
    rates = {}
    for one in look.queues:
        if (was := old.get(one.name)) is not None:
            came = one.stored - was.stored
            grown = one.pending + one.claimed - was.pending - was.claimed
            rates[one.name] = (came / seconds, (came - grown) / seconds)
    return rates


def _page(url: str, look: _Look, rates: dict[str, tuple[float, float]] | None) -> list[str]:
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
    more = [f"{len(rows)} of {look.fit:,} queues"] if len(rows) < look.fit else []
    if not look.fit:
        more = ["No queue to show. A listener creates one for each of its topic filters: fmq listen TOPIC"]
    return [
        *table_lines(head, rows, width=terminal_width()),
        "",
        *more,
        *pauses,
        *retries,
        _sizes(url, look.store),
    ]


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


def _shape(look: _Look, rates: Mapping[str, tuple[float, float]]) -> StatusShape:
    queues = [queue_shape(one, look.retries.get(one.name), rates.get(one.name)) for one in look.queues]
    return StatusShape(time_of(SYSTEM_CLOCK.wall()), queues, store_shape(look.store))
