"""`fmq queue`: deletes messages of a queue in any state, and queues that nobody uses any more."""

from collections.abc import Sequence
from dataclasses import replace

import click

from fmq.cli.common.asking import confirm
from fmq.cli.common.auditing import audited
from fmq.cli.common.numbers import Rate
from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import change, count, open_chosen_store, selection_options, store_options
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsGroup
from fmq.errors import UnknownQueue
from fmq.store.removal import remove_queue, require_unused
from fmq.store.selection import Selection, State
from fmq.store.steps import Pace, frozen
from fmq.text import counted

_PURGED = [state.value for state in State if state is not State.CLAIMED]


@click.group(cls=SettingsGroup, short_help="Delete messages of a queue, or a queue that nobody uses.")
def queue() -> None:
    """Delete messages of a queue, or a queue that is no longer used."""


@queue.command()
@click.argument("queue", type=QUEUE)
@click.option(
    "--state",
    type=click.Choice(_PURGED),
    default=State.PENDING.value,
    show_default=True,
    help="Delete messages in this state. Pending includes delayed ones; any means all that are not claimed.",
)
@selection_options(State.PENDING)
@click.option("--rate", type=Rate(), help="Maximum number per second.")
@click.option("--dry-run", is_flag=True, help="Only print the number of messages that would be deleted.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_options
def purge(
    queue: str, *, state: str, which: Selection, rate: float | None, dry_run: bool, yes: bool, **flags: object
) -> None:
    """Delete messages of QUEUE permanently, whether they were handled or not.

    Messages that processors hold stay, and so do those that come meanwhile. To keep a copy, run `fmq export` first.
    """
    chosen = State(state)
    called = "message" if chosen is State.ANY else f"{chosen} message"
    with open_chosen_store(flags) as store:
        meant = frozen(store, queue, replace(which, state=chosen))
        if dry_run or not yes:
            number = count(store, queue, meant)
            if chosen is State.ANY:
                number -= count(store, queue, replace(meant, state=State.CLAIMED))
            if dry_run:
                say(f"Would delete {counted(number, called)} of {queue}")
                return
            confirm(f"Delete {counted(number, called)} of {queue} permanently?")

        def delete(name: str, ids: Sequence[int]) -> int:
            return store.delete_messages(name, ids, state=chosen)

        stats = store.stats(queue)
        length = (
            stats.pending + stats.done + stats.dead if chosen is State.ANY else getattr(stats, chosen, stats.pending)
        )
        with progress_bar(length, "purging") as bar, stoppable() as stop:
            pace = Pace(rate, sleep=stop.wait)
            total = change(store, queue, meant, delete, kind="purge", pace=pace, stop=stop, on_step=bar.update)
        held = store.stats(queue).claimed
        say(f"Purged {counted(total, called)} of {queue}" + (f"; processors hold {held:,}" if held else ""))


@queue.command("delete")
@click.argument("queue", type=QUEUE)
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_options
def delete_(queue: str, *, yes: bool, **flags: object) -> None:
    """Delete QUEUE and its done messages permanently.

    Exit 1 if a listener that reported within 30 s subscribes to it, or if a message is pending, claimed or dead: purge these
    first. A listener that starts later with this filter creates the queue again.
    """
    with open_chosen_store(flags) as store:
        require_unused(store, queue)
        done = store.stats(queue).done
        if not yes:
            confirm(f"Delete {queue} and {counted(done, 'done message')} permanently?")
        with (
            audited(store, "delete", queue) as progress,
            progress_bar(done, "deleting") as bar,
            stoppable(lambda: f"{queue} is still there. Deleted {counted(progress.changed, 'done message')}") as stop,
        ):

            def step(count: int) -> None:
                progress.add(count)
                bar.update(count)
                stop.check()

            if not remove_queue(store, queue, on_step=step):
                raise UnknownQueue(f"Somebody else has deleted {queue}")
        say(f"Deleted {queue}")
