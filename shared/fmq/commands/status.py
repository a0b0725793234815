"""`fmq status`: how the queues stand, once or as they move."""

import json
import sys
from dataclasses import asdict, dataclass
from itertools import count as numbers

import click

from fmq.cli import read_settings, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.commands.table import moment, next_attempt, table_lines
from fmq.lifecycle import Shutdown
from fmq.log import shorten
from fmq.message import QueueStats, StoreStats, Waiting
from fmq.queue import Durability, Queue, open_queue
from fmq.settings import StoreSettings
from fmq.text import plain

_MIB = 1024 * 1024
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR_SCREEN = "\x1b[2J"


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one moment; ``at`` is in steady seconds."""

    at: float
    queues: list[QueueStats]
    store: StoreStats
    retries: dict[str, tuple[int, Waiting]]
    """Of each queue, the message whose retry is due next."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --watch, one per line.")
@click.option("--watch", is_flag=True, help="Repeat, with rates, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--count", type=click.IntRange(1), help="Number of looks after which to end.")
@settings_options(StoreSettings, but=("check_integrity", "synchronous"))
def status(*, as_json: bool, watch: bool, interval: float, count: int | None, **flags: object) -> None:
    """Show how many messages of each queue are pending, claimed, done and dead."""
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    with open_queue(settings.queue_url, settings.store_options(Durability.NORMAL), create=False) as queue:
        if watch:
            _watch(queue, settings.queue_url, interval=interval, count=count, as_json=as_json)
            return
        look = _look(queue)
    if as_json:
        click.echo(json.dumps(_as_dict(look), indent=2))
    else:
        click.echo("\n".join(_page(settings.queue_url, look, None)))


def _watch(queue: Queue, url: str, *, interval: float, count: int | None, as_json: bool) -> None:
    shutdown = Shutdown()
    shutdown.install()  # Ctrl-C is the usual way out, and no failure
    live = sys.stdout.isatty() and not as_json
    before: _Look | None = None
    for number in numbers(1):
        look = _look(queue)
        if as_json:
            click.echo(json.dumps(_as_dict(look) | {"rates": _rates(look, before)}))
        else:
            _draw(_page(url, look, _rates(look, before)), live=live, first=number == 1)
        before = look
        if number == count or shutdown.wait(interval):
            return


def _draw(lines: list[str], *, live: bool, first: bool) -> None:
    if not live:
        click.echo("\n".join([*lines, ""]))
        return
    # Line by line over the old picture: clearing the screen first would flicker.
    start = _CLEAR_SCREEN + _HOME if first else _HOME
    click.echo(start + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW, nl=False)


def _look(queue: Queue) -> _Look:
    names = queue.names()
    retries = {}
    for name in names:
        number = queue.next_retry(name)
        if number is not None and (waits := queue.waiting(name, [number]).get(number)) is not None:
            retries[name] = (number, waits)
    return _Look(SYSTEM_CLOCK.steady(), [queue.stats(name) for name in names], queue.store_stats(), retries)


def _rates(look: _Look, before: _Look | None) -> dict[str, tuple[float, float]]:
    """Messages a second into each queue and out of it; none at the first look.

    What left is what came, less what the backlog grew by: retention deletes handled messages, so their number says nothing.
    """
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
    head = ("QUEUE", "PENDING", "CLAIMED", "DONE", "DEAD", "STORED", *(() if rates is None else ("IN/S", "OUT/S")))
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
    store = look.store
    sizes = (
        f"{plain(url)}: {store.database_bytes / _MIB:.1f} MiB, write-ahead log {store.wal_bytes / _MIB:.1f} MiB, "
        f"free on its disk {store.free_disk_bytes / _MIB:,.0f} MiB"
    )
    return [*table_lines((*head, "OLDEST PENDING"), rows), "", *pauses, *retries, sizes]


def _shown(rates: tuple[float, float] | None) -> tuple[str, ...]:
    return ("-", "-") if rates is None else tuple(f"{rate:,.1f}" for rate in rates)


def _because(waits: Waiting) -> str:
    return f"; the last attempt failed: {shorten(waits.reason.partition(chr(10))[0])}" if waits.reason else ""


def _as_dict(look: _Look) -> dict[str, object]:
    queues = []
    for one in look.queues:
        number, waits = look.retries.get(one.name, (None, None))
        retry = None if waits is None else {"id": number, **asdict(waits)}
        queues.append({**asdict(one), "next_retry": retry})
    return {"queues": queues, "store": asdict(look.store)}
