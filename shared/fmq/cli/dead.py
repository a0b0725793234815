"""`fmq dead`: lists, summarizes, shows, requeues and purges dead letters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from fmq.cli.common.asking import confirm
from fmq.cli.common.auditing import audited
from fmq.cli.common.json_output import letter_shape, print_page, print_shape
from fmq.cli.common.listing import Sort, in_order, list_page, listing_options, next_page
from fmq.cli.common.numbers import Rate
from fmq.cli.common.output import moment, progress_bar, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import (
    change,
    count,
    open_chosen_store,
    read_letters,
    selection_options,
    store_options,
)
from fmq.cli.common.shapes import LetterShape, PageShape
from fmq.cli.common.stopping import stoppable
from fmq.cli.common.table import Column, print_table
from fmq.cli.help import SettingsGroup
from fmq.cli.summary import summary
from fmq.errors import UnknownMessage
from fmq.message import DeadLetter, MessageId
from fmq.service.log import shorten
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import Pace, frozen
from fmq.text import counted

_LONGEST = 300
"""Characters of a topic or a reason in a table."""
_LIST = (
    "ID",
    Column("TOPIC", cut="middle"),
    Column("RETRIES", may_go=2),
    Column("RECEIVED", may_go=1),
    "DEAD SINCE",
    Column("REASON", cut="end"),
)


@click.group(cls=SettingsGroup, short_help="List, summarize, show, requeue or purge dead letters.")
def dead() -> None:
    """List, summarize, show, requeue or purge the dead letters of a queue."""


dead.add_command(summary)


@dead.command("list")
@click.argument("queue", type=QUEUE)
@listing_options(sort="newest", limit=100)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@selection_options(State.DEAD)
@store_options
def list_(
    queue: str, sort: Sort, limit: int, after: str | None, *, as_json: bool, which: Selection, **flags: object
) -> None:
    """List dead letters, the latest first."""
    with open_chosen_store(flags) as store:
        page = list_page(store, queue, which, sort=sort, limit=limit, after=after)

        def read(ids: Sequence[MessageId]) -> Iterator[tuple[MessageId, DeadLetter]]:
            return ((one.message.id, one) for one in read_letters(store, queue, ids, limit=len(ids)))

        letters = in_order(page, read)
        total = store.stats(queue).dead
        if as_json:
            print_page(PageShape("dead list", queue, total, page.next, []), map(letter_shape, letters))
            return
        rows = [
            (
                one.message.id,
                shorten(one.message.topic, _LONGEST),
                one.message.retry_count,
                moment(one.message.received_at),
                moment(one.dead_at),
                shorten(one.reason.partition("\n")[0], _LONGEST),
            )
            for one in letters
        ]
    if rows:
        print_table(_LIST, rows)
        click.echo()
    say(f"{len(rows)} of {total:,} dead letters of {queue}{next_page(page)}")


@dead.command()
@click.argument("queue", type=QUEUE)
@click.argument("number", metavar="ID", type=int)
@store_options
def show(queue: str, number: int, **flags: object) -> None:
    """Show one dead letter with all its fields, as JSON."""
    with open_chosen_store(flags) as store:
        found = store.dead_letters(queue, [number])
    if not found:
        raise _unknown(queue, [number])
    print_shape(LetterShape(letter_shape(found[0])))


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        store_options,
        click.option("--dry-run", is_flag=True, help="Only print the number of messages that would change."),
        selection_options(State.DEAD),
        click.option("--all", "everything", is_flag=True, help="Select all dead letters of the queue."),
        click.argument("ids", nargs=-1, type=int, metavar="[ID]..."),
        click.argument("queue", type=QUEUE),
    ):
        function = decorate(function)
    return function


@dead.command()
@_choice
@click.option("--rate", type=Rate(), help="Maximum number per second.")
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
    """Make dead letters pending again, with all their retries. Messages that die again meanwhile stay dead."""
    asked = _meant(ids, which, everything=everything)
    with open_chosen_store(flags) as store:
        meant = None if asked is None else frozen(store, queue, asked)
        unknown = _missing(store, queue, ids)
        if dry_run:
            say(f"Would requeue {counted(_count(store, queue, ids, meant), 'dead letter')} of {queue}")
            return _require_all(queue, unknown)
        total = _apply(store, queue, ids, meant, store.requeue_dead, kind="requeue", label="requeuing", rate=rate)
        say(f"Requeued {counted(total, 'message')} of {queue}; {counted(store.stats(queue).dead, 'dead letter')} left")
        return _require_all(queue, unknown)


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
    """Delete dead letters permanently."""
    asked = _meant(ids, which, everything=everything)
    with open_chosen_store(flags) as store:
        meant = None if asked is None else frozen(store, queue, asked)
        unknown = _missing(store, queue, ids)
        if dry_run or not yes:
            number = _count(store, queue, ids, meant)
            if dry_run:
                say(f"Would delete {counted(number, 'dead letter')} of {queue}")
                return _require_all(queue, unknown)
            confirm(f"Delete {counted(number, 'dead letter')} of {queue} permanently?")
        total = _apply(store, queue, ids, meant, store.purge_dead, kind="purge", label="purging")
        say(f"Purged {counted(total, 'message')} of {queue}; {counted(store.stats(queue).dead, 'dead letter')} left")
        return _require_all(queue, unknown)


def _meant(ids: tuple[int, ...], which: Selection, *, everything: bool) -> Selection | None:
    """The selection to change; None: the ids. Raises UsageError unless there is exactly one of the two."""
    if [bool(ids), everything, not which.everything].count(True) != 1:
        raise click.UsageError(
            "Select dead letters by ids, by --all, or by one or more of --topic, --reason, --group, --since and --until"
        )
    return None if ids else which


def _missing(store: Store, name: str, ids: tuple[int, ...]) -> Sequence[int]:
    """Those of ``ids`` that are no dead letters. Raises UnknownMessage if none is one."""
    there = {one.message.id for one in read_letters(store, name, ids, limit=len(ids))}
    missing = [one for one in dict.fromkeys(ids) if one not in there]
    if missing and not there:
        raise _unknown(name, missing)
    return missing


def _require_all(name: str, missing: Sequence[int]) -> None:
    """Raise UnknownMessage if some were ``missing``, after the others have been changed."""
    if missing:
        raise _unknown(name, missing)


def _unknown(name: str, ids: Sequence[int]) -> UnknownMessage:
    which = f"dead letter {ids[0]}" if len(ids) == 1 else f"dead letters {', '.join(map(str, ids))}"
    return UnknownMessage(f"{name} has no {which}. fmq dead list '{name}' shows those that it has")


def _count(store: Store, name: str, ids: tuple[int, ...], meant: Selection | None) -> int:
    return (
        sum(1 for _ in read_letters(store, name, ids, limit=len(ids))) if meant is None else count(store, name, meant)
    )


def _apply(
    store: Store,
    name: str,
    ids: tuple[int, ...],
    meant: Selection | None,
    by: Callable[[str, Sequence[int]], int],
    *,
    kind: str,
    label: str,
    rate: float | None = None,
) -> int:
    if meant is None:
        with audited(store, kind, name, f"ids {', '.join(map(str, ids))}") as progress:
            progress.add(by(name, ids))
        return progress.changed
    with progress_bar(store.stats(name).dead, label) as bar, stoppable() as stop:
        pace = Pace(rate, sleep=stop.wait)
        return change(store, name, meant, by, kind=kind, pace=pace, stop=stop, on_step=bar.update)
