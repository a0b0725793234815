"""`fmq dead`: look at dead letters, give them another chance, or delete them."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from fmq.commands.choosing import (
    Pace,
    change,
    count,
    open_store,
    read_letters,
    selection_options,
    store_options,
    until_now,
    walk,
)
from fmq.commands.parameters import QUEUE
from fmq.commands.progress import progress_bar
from fmq.commands.table import moment, print_table, say
from fmq.errors import FmqError
from fmq.log import shorten
from fmq.message import DeadLetter
from fmq.message_json import letter_fields
from fmq.queue import Queue
from fmq.selection import Selection, State


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def dead() -> None:
    """List, show, requeue or purge the dead letters of a queue."""


@dead.command("list")
@click.argument("queue", type=QUEUE)
@click.option(
    "--limit", default=100, show_default=True, help="Maximum number of dead letters to show.", type=click.IntRange(1)
)
@click.option("--after", default=0, help="Only ids above this one.", type=int)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@selection_options(State.DEAD)
@store_options
def list_(queue: str, limit: int, after: int, *, as_json: bool, which: Selection, **flags: object) -> None:
    """List dead letters, the oldest id first."""
    with open_store(flags) as store:
        letters = _letters(store, queue, which, limit=limit, after=after)
        if as_json:
            for letter in letters:
                click.echo(json.dumps(letter_fields(letter)))
            return
        rows = [
            (
                one.message.id,
                shorten(one.message.topic, 60),
                one.message.retry_count,
                moment(one.message.received_at),
                moment(one.dead_at),
                shorten(one.reason.partition("\n")[0], 100),
            )
            for one in letters
        ]
        total = store.stats(queue).dead
    print_table(("ID", "TOPIC", "RETRIES", "RECEIVED", "DEAD SINCE", "REASON"), rows)
    click.echo()
    say(f"{len(rows)} of {total:,} dead letters of {queue}")


def _letters(store: Queue, name: str, which: Selection, *, limit: int, after: int) -> Iterator[DeadLetter]:
    if which.everything:
        return read_letters(store, name, None, limit=limit, after_id=after)
    ids: list[int] = []
    for found in walk(store, name, which, limit=limit, after_id=after):
        ids += found.ids
        if len(ids) >= limit:
            break
    return read_letters(store, name, ids[:limit], limit=limit)


@dead.command()
@click.argument("queue", type=QUEUE)
@click.argument("number", metavar="ID", type=int)
@store_options
def show(queue: str, number: int, **flags: object) -> None:
    """Show one dead letter whole, as JSON."""
    with open_store(flags) as store:
        found = store.dead_letters(queue, [number])
    if not found:
        raise FmqError(f"{queue} has no dead letter {number}")
    click.echo(json.dumps(letter_fields(found[0]), indent=2))


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        store_options,
        click.option("--dry-run", is_flag=True, help="Only say how many it would be."),
        selection_options(State.DEAD),
        click.option("--all", "everything", is_flag=True, help="All dead letters of the queue."),
        click.argument("ids", nargs=-1, type=int, metavar="[ID]..."),
        click.argument("queue", type=QUEUE),
    ):
        function = decorate(function)
    return function


@dead.command()
@_choice
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Maximum number per second.")
def requeue(
    queue: str,
    ids: tuple[int, ...],
    *,
    everything: bool,
    which: Selection,
    dry_run: bool,
    rate: float | None,
    **flags: object,
) -> None:
    """Make dead letters pending again, with all their retries. What dies again meanwhile stays dead."""
    meant = _meant(ids, which, everything=everything)
    with open_store(flags) as store:
        if dry_run:
            say(f"{_count(store, queue, ids, meant):,} dead letters of {queue} would be requeued")
            return
        total = _apply(store, queue, ids, meant, store.requeue_dead, label="requeuing", pace=Pace(rate))
        say(f"requeued {total:,} messages of {queue}; {store.stats(queue).dead:,} dead letters are left")


@dead.command()
@_choice
@click.option("--yes", is_flag=True, help="Don't ask.")
def purge(
    queue: str,
    ids: tuple[int, ...],
    *,
    everything: bool,
    which: Selection,
    dry_run: bool,
    yes: bool,
    **flags: object,
) -> None:
    """Delete dead letters for good."""
    meant = _meant(ids, which, everything=everything)
    with open_store(flags) as store:
        if dry_run or not yes:
            number = _count(store, queue, ids, meant)
            if dry_run:
                say(f"{number:,} dead letters of {queue} would be deleted")
                return
            click.confirm(f"Delete {number:,} dead letters of {queue} for good?", abort=True, err=True)
        total = _apply(store, queue, ids, meant, store.purge_dead, label="purging", pace=Pace(None))
        say(f"purged {total:,} messages of {queue}; {store.stats(queue).dead:,} dead letters are left")


def _meant(ids: tuple[int, ...], which: Selection, *, everything: bool) -> Selection | None:
    """What to change; None: the ids. Raises UsageError unless it was said in exactly one way."""
    if [bool(ids), everything, not which.everything].count(True) != 1:
        raise click.UsageError("say which: ids, --all, or one or more of --topic, --reason, --since and --until")
    return None if ids else until_now(which)


def _count(store: Queue, name: str, ids: tuple[int, ...], meant: Selection | None) -> int:
    return (
        sum(1 for _ in read_letters(store, name, ids, limit=len(ids))) if meant is None else count(store, name, meant)
    )


def _apply(
    store: Queue,
    name: str,
    ids: tuple[int, ...],
    meant: Selection | None,
    by: Callable[[str, Sequence[int]], int],
    *,
    label: str,
    pace: Pace,
) -> int:
    if meant is None:
        return by(name, ids)
    with progress_bar(store.stats(name).dead, label) as bar:
        return change(store, name, meant, by, pace=pace, told=bar.update)
