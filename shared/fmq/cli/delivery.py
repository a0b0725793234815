"""`fmq pause`, `fmq resume`, `fmq release` and `fmq order`: whether and how a queue is delivered."""

import click

from fmq.cli.common.auditing import audited
from fmq.cli.common.output import moment, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import open_chosen_store, store_options
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.errors import FmqError
from fmq.store.steps import STEP
from fmq.text import counted

_ALL = 2**31
_SENTENCES = {
    True: "{} is delivered in order. Its processors need FMQ_ORDERED=true",
    False: "{} is delivered without order. Its processors need FMQ_ORDERED=false",
    None: "{} has no order yet. Its first processor decides by its FMQ_ORDERED",
}


@click.command(cls=SettingsCommand, short_help="Stop delivering from a queue until `fmq resume`.")
@click.argument("queue", type=QUEUE)
@click.option("--reason", default="by an operator", show_default=True, help="The reason, shown by `fmq status`.")
@store_options
def pause(queue: str, reason: str, **flags: object) -> None:
    """Stop delivering from QUEUE until `fmq resume`. Survives restarts.

    New messages are still stored. Processors finish the messages that they hold. Exit 1 if the queue is already paused.
    """
    with open_chosen_store(flags) as store:
        if (there := store.paused(queue)) or not store.pause(queue, reason):
            since = f" since {moment(there.since)}: {there.reason}" if there else ""
            raise FmqError(f"{queue} is already paused{since}")
        with audited(store, "pause", queue, reason):
            pass
        say(f"Paused {queue}. Processors still finish {counted(store.stats(queue).claimed, 'message')}")


@click.command(cls=SettingsCommand, short_help="Deliver from a paused queue again.")
@click.argument("queue", type=QUEUE)
@store_options
def resume(queue: str, **flags: object) -> None:
    """Deliver from QUEUE again. Exit 1 if it was not paused."""
    with open_chosen_store(flags) as store:
        if not store.resume(queue):
            raise FmqError(f"{queue} is not paused")
        with audited(store, "resume", queue):
            pass
        say(f"Resumed {queue} with {counted(store.stats(queue).pending, 'pending message')}")


@click.command(cls=SettingsCommand, short_help="Deliver messages at once that wait for a route of a processor.")
@click.argument("queue", type=QUEUE)
@store_options
def release(queue: str, **flags: object) -> None:
    """Offer all messages of QUEUE that wait for a route, or that no route took, to the present processors at once.

    `fmq status` shows how many there are. Without this command they are offered again after five minutes or more.
    """
    with open_chosen_store(flags) as store, stoppable() as stop:
        # Not until none is left: processors without a route for them set them aside again.
        there = sum(store.parked(queue, most=_ALL).values())
        with audited(store, "release", queue) as progress:
            stop.report = lambda: f"Released {counted(progress.changed, 'message')} of {queue} until then"
            while progress.changed < there and (
                count := store.release(queue, limit=min(STEP, there - progress.changed))
            ):
                progress.add(count)
                stop.check()
        say(f"Released {counted(progress.changed, 'message')} of {queue}")


@click.command(cls=SettingsCommand, short_help="Show or change whether a queue is delivered in order.")
@click.argument("queue", type=QUEUE)
@click.argument("to", metavar="[on|off]", required=False, type=click.Choice(["on", "off"]))
@store_options
def order(queue: str, to: str | None, **flags: object) -> None:
    """Show whether QUEUE is delivered in order, or change it.

    The first processor of a queue decides by its FMQ_ORDERED. A processor with the other value exits with 2. To change the
    order, stop the processors of QUEUE first: exit 1 while messages are claimed.
    """
    with open_chosen_store(flags) as store:
        if to is not None:
            store.set_order(queue, ordered=to == "on")
            with audited(store, "order", queue, to):
                pass
        click.echo(_SENTENCES[store.ordered(queue)].format(queue))
