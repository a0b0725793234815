"""`fmq backup`: a consistent copy of the store while everything runs."""

from pathlib import Path

import click

from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings, settings_options
from fmq.errors import FmqError
from fmq.service.settings import StoreSettings
from fmq.store.backends import backend_of


@click.command(cls=SettingsCommand, short_help="Write a consistent copy of the store to a new file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes", "busy_seconds"))
def backup(file: Path, **flags: object) -> None:
    """Write a consistent copy of the store to a new FILE.

    Services keep running. FILE appears only when it is complete, checked for damage and on disk. An existing file is
    never replaced. To restore: stop all services, set the old store aside, and move the copy into its place.
    """
    settings = read_settings(StoreSettings, flags)
    try:
        target = file.absolute()
    except FileNotFoundError:
        raise FmqError(f"{file} is relative to the working directory, which no longer exists") from None
    copied = 0
    with (
        progress_bar(1_000, "copying") as bar,
        stoppable(lambda: f"{copied / 10:.1f} % was copied. No file is left") as stop,
    ):

        def step(done: int, pages: int) -> None:
            nonlocal copied
            copied = done * 1_000 // max(pages, 1)
            bar.update(copied - bar.pos)
            stop.check()

        size = backend_of(settings.queue_url).back_up(settings.queue_url, str(target), on_progress=step)
    say(f"{file}: {size / 1024**2:,.1f} MiB, checked")
