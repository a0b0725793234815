"""`fmq backup`: a consistent copy of the store while everything runs."""

from pathlib import Path

import click

from fmq.cli import read_settings, settings_options
from fmq.commands.progress import progress_bar
from fmq.commands.table import say
from fmq.errors import FmqError
from fmq.queue import back_up
from fmq.settings import StoreSettings


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes", "busy_seconds"))
def backup(file: Path, **flags: object) -> None:
    """Copy the store, as it is at this moment, to a new FILE.

    Services go on meanwhile. FILE appears when it is whole, checked for damage and on the disk; an existing file is
    never replaced. To restore: stop all services, set the old store aside, and put the copy in its place.
    """
    settings = read_settings(StoreSettings, flags)
    try:
        target = file.absolute()
    except FileNotFoundError:
        raise FmqError(f"{file} is relative to the working directory, which does not exist any more") from None
    with progress_bar(1_000, "copying") as bar:
        size = back_up(
            settings.queue_url,
            target,
            told=lambda done, pages: bar.update(done * 1_000 // max(pages, 1) - bar.pos),
        )
    say(f"{file}: {size / 1024**2:,.1f} MiB, checked")
