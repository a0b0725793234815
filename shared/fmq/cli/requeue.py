"""`fmq requeue`: has handled messages handled again."""

import click

from fmq.cli.common.asking import confirm
from fmq.cli.common.numbers import Rate
from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.parameters import MOMENT, QUEUE
from fmq.cli.common.selecting import change, count, open_chosen_store, store_options
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.store.selection import Selection, State
from fmq.store.steps import Pace, frozen
from fmq.text import counted


@click.command(cls=SettingsCommand, short_help="Handle messages again that were handled before.")
@click.argument("queue", type=QUEUE)
@click.option(
    "--done-since", required=True, type=MOMENT, help="Messages handled since then: 2h (ago), 2026-11-24T08:30Z."
)
@click.option("--done-until", type=MOMENT, help="Only messages handled before then.")
@click.option("--topic", metavar="FILTER", help="Only messages whose topic matches this topic filter.")
@click.option("--rate", type=Rate(), help="Maximum number per second.")
@click.option("--dry-run", is_flag=True, help="Only print the number of messages that would change.")
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

    The handler gets them a second time. For dead letters use `fmq dead requeue`.
    """
    try:
        asked = Selection(State.DONE, topic, since=done_since, until=done_until)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--topic") from error
    with open_chosen_store(flags) as store:
        which = frozen(store, queue, asked)
        if dry_run or not yes:
            number = count(store, queue, which)
            if dry_run:
                say(f"Would requeue {counted(number, 'handled message')} of {queue}")
                return
            confirm(f"Handle {counted(number, 'message')} of {queue} again?")
        with progress_bar(store.stats(queue).done, "requeuing") as bar, stoppable() as stop:
            pace = Pace(rate, sleep=stop.wait)
            total = change(
                store, queue, which, store.requeue_done, kind="requeue", pace=pace, stop=stop, on_step=bar.update
            )
        say(f"Requeued {counted(total, 'message')} of {queue}")
