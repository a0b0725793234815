"""`fmq requeue`: have messages handled once more that were handled already."""

import click

from fmq.commands.choosing import Pace, change, count, open_store, store_options, until_now
from fmq.commands.parameters import MOMENT, QUEUE
from fmq.commands.progress import progress_bar
from fmq.commands.table import say
from fmq.selection import Selection, State


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=QUEUE)
@click.option(
    "--done-since", required=True, type=MOMENT, help="Those handled from then on: 2h (ago), 2026-11-24T08:30Z."
)
@click.option("--done-until", type=MOMENT, help="Only those handled before then.")
@click.option("--topic", metavar="FILTER", help="Only those whose topic matches this topic filter.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Maximum number per second.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_options
def requeue(
    queue: str,
    *,
    done_since: float,
    done_until: float | None,
    topic: str | None,
    rate: float | None,
    dry_run: bool,
    yes: bool,
    **flags: object,
) -> None:
    """Make handled messages of QUEUE pending again, as far back as they are kept (FMQ_RETENTION_SECONDS).

    The handler gets them a second time. Dead letters are requeued by `fmq dead requeue`.
    """
    try:
        which = until_now(Selection(State.DONE, topic, since=done_since, until=done_until))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--topic") from error
    with open_store(flags) as store:
        if dry_run or not yes:
            number = count(store, queue, which)
            if dry_run:
                say(f"{number:,} handled messages of {queue} would be requeued")
                return
            click.confirm(f"Have {number:,} messages of {queue} handled once more?", abort=True, err=True)
        with progress_bar(store.stats(queue).done, "requeuing") as bar:
            total = change(store, queue, which, store.requeue_done, pace=Pace(rate), told=bar.update)
        say(f"requeued {total:,} messages of {queue}")
