"""`fmq status`: shows the state of the queues, once or repeatedly."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as numbers
from math import inf
from typing import Any

import click

from fmq.cli.common.json_output import print_shape, queue_shape, route_shape, store_shape, time_of
from fmq.cli.common.numbers import Count
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.shapes import StatusShape
from fmq.cli.common.status_page import MOST_SET_ASIDE, Look, page
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.errors import Stopped, UnknownQueue
from fmq.message import QueueStats, Waiting
from fmq.service.reporting.routes import AWAY_SECONDS, routes_of
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.options import Durability
from fmq.store.roles import Store

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR_SCREEN = "\x1b[2J"
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
        click.echo("\n".join(page(settings.queue_url, look, None)))


def _watch(store: Store, url: str, wanted: _Wanted, *, interval: float, count: int | None, as_json: bool) -> None:
    live = sys.stdout.isatty() and not as_json
    before: Look | None = None
    with stoppable() as stop, suppress(Stopped):  # Ctrl-C is the usual way to stop, not a failure
        for number in numbers(1):
            look = _look(store, wanted)
            if as_json:
                print_shape(_shape(look, _rates(look, before)), in_one_line=True)
            else:
                _draw(page(url, look, _rates(look, before)), live=live, first=number == 1)
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


def _look(store: Store, wanted: _Wanted) -> Look:
    queues, fit = wanted.of(store)
    retries: dict[str, tuple[int, Waiting]] = {}
    aside: dict[str, Mapping[str, int]] = {}
    for name in [one.name for one in queues]:
        with suppress(UnknownQueue):  # deleted meanwhile
            number = store.next_retry(name)
            if number is not None and (waits := store.waiting(name, [number]).get(number)) is not None:
                retries[name] = (number, waits)
            if parked := store.parked(name, most=MOST_SET_ASIDE):
                aside[name] = parked
    routes = [
        (one.report.name, route)
        for one in store.services()
        if one.report.kind == "processor" and one.unseen <= AWAY_SECONDS
        for route in routes_of(one.report.state)
    ]
    return Look(SYSTEM_CLOCK.steady(), queues, fit, store.store_stats(), retries, aside, routes)


def _rates(look: Look, before: Look | None) -> dict[str, tuple[float, float]]:
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


def _shape(look: Look, rates: Mapping[str, tuple[float, float]]) -> StatusShape:
    queues = [
        queue_shape(one, look.retries.get(one.name), look.aside.get(one.name), rates.get(one.name))
        for one in look.queues
    ]
    routes = [route_shape(processor, one) for processor, one in look.routes]
    return StatusShape(time_of(SYSTEM_CLOCK.wall()), queues, routes, store_shape(look.store))
