"""`fmq dead`: look at dead letters, give them another chance, or delete them."""

import json
from collections.abc import Callable
from typing import Any

import click

from fmq.cli import read_settings, settings_options
from fmq.commands.parameters import QUEUE
from fmq.commands.status import moment
from fmq.commands.table import print_table
from fmq.errors import FmqError
from fmq.log import shorten
from fmq.message_json import letter_fields
from fmq.queue import Durability, Queue, open_queue
from fmq.settings import StoreSettings

_CHUNK = 1_000
_BUT = ("check_integrity", "synchronous")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def dead() -> None:
    """List, show, requeue or purge the dead letters of a queue."""


def _open(flags: dict[str, Any]) -> Queue:
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    return open_queue(settings.queue_url, settings.store_options(Durability.NORMAL), create=False)


@dead.command("list")
@click.argument("queue", type=QUEUE)
@click.option("--limit", default=100, show_default=True, help="At most so many.", type=click.IntRange(1))
@click.option("--after", default=0, help="Only ids above this one.", type=int)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@settings_options(StoreSettings, but=_BUT)
def list_(queue: str, limit: int, after: int, *, as_json: bool, **flags: object) -> None:
    """List dead letters, the oldest id first."""
    with _open(flags) as store:
        letters = store.dead_letters(queue, limit=limit, after_id=after)
        total = store.stats(queue).dead
    if as_json:
        for letter in letters:
            click.echo(json.dumps(letter_fields(letter)))
        return
    print_table(
        ("ID", "TOPIC", "RETRIES", "RECEIVED", "DEAD SINCE", "REASON"),
        [
            (
                one.message.id,
                shorten(one.message.topic, 60),
                one.message.retry_count,
                moment(one.message.received_at),
                moment(one.dead_at),
                shorten(one.reason.partition("\n")[0], 100),
            )
            for one in letters
        ],
    )
    click.echo(f"\n{len(letters)} of {total:,} dead letters of {queue}")


@dead.command()
@click.argument("queue", type=QUEUE)
@click.argument("number", metavar="ID", type=int)
@settings_options(StoreSettings, but=_BUT)
def show(queue: str, number: int, **flags: object) -> None:
    """Show one dead letter whole, as JSON."""
    with _open(flags) as store:
        found = store.dead_letters(queue, limit=1, after_id=number - 1)
    if not found or found[0].message.id != number:
        raise FmqError(f"{queue} has no dead letter {number}")
    click.echo(json.dumps(letter_fields(found[0]), indent=2))


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        settings_options(StoreSettings, but=_BUT),
        click.option("--all", "everything", is_flag=True, help="All dead letters of the queue."),
        click.argument("ids", nargs=-1, type=int, metavar="[ID]..."),
        click.argument("queue", type=QUEUE),
    ):
        function = decorate(function)
    return function


@dead.command()
@_choice
def requeue(queue: str, ids: tuple[int, ...], *, everything: bool, **flags: object) -> None:
    """Make dead letters pending again, with all their retries."""
    with _open(flags) as store:
        click.echo(f"requeued {_apply(store.requeue_dead, queue, ids, everything=everything):,} messages of {queue}")


@dead.command()
@_choice
@click.option("--yes", is_flag=True, help="Don't ask.")
def purge(queue: str, ids: tuple[int, ...], *, everything: bool, yes: bool, **flags: object) -> None:
    """Delete dead letters for good."""
    with _open(flags) as store:
        if not yes:
            which = "all" if everything else len(ids)
            click.confirm(f"Delete {which} dead letters of {queue} for good?", abort=True, err=True)
        click.echo(f"purged {_apply(store.purge_dead, queue, ids, everything=everything):,} messages of {queue}")


def _apply(change: Callable[..., int], queue: str, ids: tuple[int, ...], *, everything: bool) -> int:
    if everything == bool(ids):
        raise click.UsageError("name the ids, or say --all")
    if ids:
        return change(queue, ids)
    total = 0
    while count := change(queue, limit=_CHUNK):  # in steps, so that nobody waits long for the write lock
        total += count
    return total
