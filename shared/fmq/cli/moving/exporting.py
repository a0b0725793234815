"""`fmq export`: messages as JSON lines, for another store or program."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click

from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import open_chosen_store, selection_options, store_options
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.errors import FmqError
from fmq.message import QueueStats
from fmq.store.moving.file_frame import FrameWriter
from fmq.store.moving.json_lines import line_of, stored_fields
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import walk
from fmq.text import counted

_KEPT_AS = {State.DELAYED: State.PENDING}
_READ = 100
_READ_BYTES = 4 * 1024 * 1024


@click.command(cls=SettingsCommand, short_help="Write messages of a queue as JSON lines.")
@click.argument("queue", type=QUEUE, required=False)
@click.option("--all-queues", is_flag=True, help="Write the messages of all queues.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    default=(State.PENDING.value,),
    show_default=True,
    help="Select messages in this state. May be repeated. Pending includes delayed ones; any means all.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a new file. Default: standard output."
)
@click.option(
    "--checked/--plain",
    default=None,
    help="Whether to begin and end with a line by which `fmq import` notices damage. Default: with --output.",
)
@selection_options(State.PENDING)
@store_options
def export(
    queue: str | None,
    *,
    all_queues: bool,
    states: tuple[str, ...],
    output: Path | None,
    checked: bool | None,
    which: Selection,
    **flags: object,
) -> None:
    """Write messages of QUEUE as JSON, one per line, with all that the store keeps of them. Changes nothing in the store."""
    if (queue is None) is not all_queues:
        raise click.UsageError("Expected a QUEUE, or --all-queues.")
    with open_chosen_store(flags) as store:
        names = [queue] if queue is not None else list(store.names())
        chosen = [State(one) for one in dict.fromkeys(states)]
        stats = [store.stats(name) for name in names]
        length = sum(_count(one, state) for one in stats for state in chosen)
        with stoppable() as stop, _target(output) as file, progress_bar(length, "exporting") as bar:
            writer = FrameWriter(file, checked=output is not None if checked is None else checked)
            what = "the output ends there" if output is None else f"{output} was removed"
            stop.report = lambda: f"{counted(writer.count, 'message')} of about {length:,} were exported; {what}"

            def step(looked_at: int) -> None:
                bar.update(looked_at)
                stop.check()

            for name in names:
                for state in chosen:
                    _write(store, name, replace(which, state=state), writer, step)
            writer.end()
        held = sum(one.claimed for one in stats) if not {State.CLAIMED, State.ANY}.intersection(chosen) else 0
        left = f"; skipped {held:,} that processors held" if held else ""
        say(f"Exported {counted(writer.count, 'message')} of {queue or counted(len(names), 'queue')}{left}", err=True)


def _count(stats: QueueStats, state: State) -> int:
    if state is State.ANY:
        return stats.pending + stats.claimed + stats.done + stats.dead
    return int(getattr(stats, state, stats.pending))


def _write(store: Store, name: str, which: Selection, writer: FrameWriter, on_step: Callable[[int], object]) -> None:
    identity = str(store.identity())
    for found in walk(store, name, which, limit=_READ):
        left = list(found.ids)
        while left:
            messages = store.stored(name, left, most_bytes=_READ_BYTES)
            for one in messages:
                if which.state is State.ANY or one.state is _KEPT_AS.get(
                    which.state, which.state
                ):  # it may have changed
                    writer.write(line_of({**stored_fields(one), "store": identity}))
            left = left[left.index(messages[-1].message.id) + 1 :] if messages else []
            del messages  # release them before reading more
        on_step(found.looked_at)


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("xb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                output.unlink()  # half an export is useless
                raise
    except FileExistsError:
        raise FmqError(f"{output} already exists. An export never replaces a file") from None
    except OSError as error:
        raise FmqError(f"{output} can't be written: {error.strerror}") from error
