"""`fmq set-aside`: keep a damaged database under a new name, so that the services can begin a new one."""

import click

from fmq.cli import read_settings, settings_options
from fmq.commands.table import say
from fmq.queue import set_aside as set_store_aside
from fmq.settings import StoreSettings


@click.command("set-aside", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--yes", is_flag=True, help="Don't ask.")
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes", "busy_seconds"))
def set_aside(*, yes: bool, **flags: object) -> None:
    """Move the database out of the way, with its log. Nothing is deleted. Stop all services first."""
    settings = read_settings(StoreSettings, flags)
    if not yes:
        click.confirm(f"Move {settings.queue_url} aside? All services must be stopped.", abort=True, err=True)
    say(f"kept as {set_store_aside(settings.queue_url)}")
