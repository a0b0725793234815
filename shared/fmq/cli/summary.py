"""`fmq dead summary`: dead letters grouped by what their reasons have in common."""

from collections.abc import Callable, Iterable
from heapq import nlargest

import click

from fmq.cli.common.json_output import print_shape, time_of
from fmq.cli.common.numbers import Count
from fmq.cli.common.output import moment, progress_bar, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import open_chosen_store, store_options
from fmq.cli.common.shapes import GroupShape, SummaryShape
from fmq.cli.common.table import Column, print_table
from fmq.cli.help import SettingsCommand
from fmq.store.records import Group
from fmq.store.roles import Operating
from fmq.text import counted

_Row = tuple[str, Group]


@click.command(cls=SettingsCommand)
@click.argument("queue", type=QUEUE, required=False)
@click.option("--all-queues", is_flag=True, help="Summarize all queues.")
@click.option("--limit", default=100, show_default=True, help="Maximum number of groups to show.", type=Count(1))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@store_options
def summary(queue: str | None, *, all_queues: bool, limit: int, as_json: bool, **flags: object) -> None:
    """Group dead letters by their reasons, the group with the newest dead letter first.

    Reasons that differ only in numbers, identifiers or quoted text are one group. The table shows a placeholder for these; --json
    has the newest reason too. `fmq dead list`, `requeue` and `purge` take a group with --group.
    """
    if (queue is not None) == all_queues:
        raise click.UsageError("Name a QUEUE, or use --all-queues")
    rows: list[_Row] = []
    looked_at = 0
    with open_chosen_store(flags) as store:
        stats = [store.stats(queue)] if queue is not None else store.all_stats()
        with progress_bar(sum(one.dead for one in stats), "reading") as bar:
            for one in stats:
                groups, count = newest_groups(store, one.name, limit, on_step=bar.update)
                looked_at += count
                rows = _newest([*rows, *((one.name, group) for group in groups)], limit)
    if as_json:
        shapes = [
            GroupShape(name, one.fingerprint, one.count, time_of(one.first_at), time_of(one.last_at), one.reason)
            for name, one in rows
        ]
        print_shape(SummaryShape(shapes, looked_at))
    elif rows:
        _print(rows, with_queue=all_queues)
    others = looked_at - sum(group.count for _, group in rows)
    rest = f"; {others:,} have other reasons (see --limit)" if others else ""
    of = "all queues" if queue is None else queue
    say(f"Looked at {counted(looked_at, 'dead letter')} of {of}: {counted(len(rows), 'group')}{rest}", err=as_json)


def newest_groups(
    store: Operating, name: str, limit: int, *, on_step: Callable[[int], object] = lambda _count: None
) -> tuple[list[Group], int]:
    """The ``limit`` groups of a queue with the newest dead letters, and the number of dead letters it looked at.

    Reads from the newest dead letter to the oldest, so a group that is met after ``limit`` others is older than all of them.
    ``on_step`` receives the number of dead letters of each step.
    """
    kept: dict[str, Group] = {}
    looked_at = 0
    before: str | None = None
    while True:
        step = store.dead_groups(name, before=before)
        for one in sorted(step.groups, key=lambda group: -group.last_at):
            known = kept.get(one.fingerprint)
            if known is not None:
                kept[one.fingerprint] = Group(
                    one.fingerprint, known.count + one.count, one.first_at, known.last_at, known.reason
                )
            elif len(kept) < limit:
                kept[one.fingerprint] = one
        looked_at += step.looked_at
        on_step(step.looked_at)
        before = step.before
        if before is None:
            return list(kept.values()), looked_at


def _newest(rows: Iterable[_Row], limit: int) -> list[_Row]:
    return nlargest(limit, rows, key=lambda row: row[1].last_at)


def _print(rows: Iterable[_Row], *, with_queue: bool) -> None:
    head = [Column("QUEUE", cut="middle")] * with_queue + [
        Column("COUNT"),
        Column("FIRST", may_go=1),
        Column("LAST"),
        Column("GROUP", cut="end"),
    ]
    lines = [
        (name,) * with_queue + (one.count, moment(one.first_at), moment(one.last_at), one.fingerprint)
        for name, one in rows
    ]
    print_table(head, lines)
    click.echo()
