"""`fmq pause` and `fmq resume`: keep a queue's messages from all processors for a while."""

import click

from fmq.commands.choosing import open_store, store_options
from fmq.commands.parameters import QUEUE
from fmq.commands.table import moment, say
from fmq.errors import FmqError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=QUEUE)
@click.option("--reason", default="by an operator", show_default=True, help="Why; `fmq status` shows it.")
@store_options
def pause(queue: str, reason: str, **flags: object) -> None:
    """Stop delivering from QUEUE, to any processor, until `fmq resume`. Survives restarts.

    Messages still come in, and what processors hold already is finished. Exit 1 if it is paused already.
    """
    with open_store(flags) as store:
        if not store.pause(queue, reason):
            there = store.paused(queue)
            since = f" since {moment(there.since)}: {there.reason}" if there else ""
            raise FmqError(f"{queue} is paused already{since}")
        say(f"paused {queue}; {store.stats(queue).claimed:,} messages are still held and will be finished")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=QUEUE)
@store_options
def resume(queue: str, **flags: object) -> None:
    """Deliver from QUEUE again. Exit 1 if it was not paused."""
    with open_store(flags) as store:
        if not store.resume(queue):
            raise FmqError(f"{queue} is not paused")
        say(f"resumed {queue}; {store.stats(queue).pending:,} messages wait")
