"""`fmq order`: whether a queue is delivered in order."""

import click

from fmq.commands.choosing import open_store, store_options
from fmq.commands.parameters import QUEUE

_TOLD = {
    True: "{} is delivered in order: its processors need FMQ_ORDERED=true",
    False: "{} is delivered without order: its processors need FMQ_ORDERED=false",
    None: "{} has no order yet: its first processor decides by its FMQ_ORDERED",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=QUEUE)
@click.argument("to", metavar="[on|off]", required=False, type=click.Choice(["on", "off"]))
@store_options
def order(queue: str, to: str | None, **flags: object) -> None:
    """Show whether QUEUE is delivered in order, or change it.

    The first processor of a queue decides by its FMQ_ORDERED, and one with the other value exits with 2. To change it, stop
    the processors of QUEUE first: exit 1 while messages are claimed.
    """
    with open_store(flags) as store:
        if to is not None:
            store.set_order(queue, ordered=to == "on")
        click.echo(_TOLD[store.ordered(queue)].format(queue))
