"""`fmq set-aside`: renames a damaged database, so that services can create a new one."""

import click

from fmq.cli.common.asking import confirm
from fmq.cli.common.output import say
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings, settings_options
from fmq.service.settings import StoreSettings
from fmq.store.backends import backend_of
from fmq.text import without_password


@click.command("set-aside", cls=SettingsCommand, short_help="Rename a damaged database, to start with a new one.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes", "busy_seconds"))
def set_aside(*, yes: bool, **flags: object) -> None:
    """Rename the database and its log. Nothing is deleted. Stop all services first."""
    settings = read_settings(StoreSettings, flags)
    if not yes:
        confirm(f"Set {without_password(settings.queue_url)} aside? All services must be stopped.")
    say(f"Renamed to {backend_of(settings.queue_url).set_aside(settings.queue_url)}")
