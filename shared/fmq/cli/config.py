"""`fmq config`: shows the effective settings and where each comes from."""

import json
import os

import click

from fmq.cli.common.output import say
from fmq.cli.common.table import print_table
from fmq.cli.help import SettingsCommand
from fmq.cli.main import EXIT_SETTINGS
from fmq.service import inventory
from fmq.service.settings import variable
from fmq.text import plain_lines


@click.command(cls=SettingsCommand, short_help="Show the effective settings, and where each comes from.")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--changed", is_flag=True, help="Show only settings that differ from their default.")
def config(services: tuple[str, ...], *, as_json: bool, changed: bool) -> int:
    """Show the effective settings of each SERVICE (default: all installed services and the chosen handler). Secrets are hidden.

    Exit 2, after showing them, if a service would reject them.
    """
    models = inventory.in_use(os.environ)
    if unknown := [name for name in services if name not in models]:
        raise click.BadParameter(
            f"Unknown service {', '.join(unknown)}. Known: {', '.join(models)}", param_hint="SERVICE"
        )
    chosen = {name: models[name] for name in services or models}
    found = {
        name: [one for one in inventory.effective(model, os.environ) if not changed or one.origin != "default"]
        for name, model in chosen.items()
    }
    wrong = {name: what for name, model in chosen.items() if (what := inventory.check(model, os.environ))}
    if as_json:
        sections = {
            name: {one.name: {"value": one.value, "from": one.origin} for one in rows} for name, rows in found.items()
        }
        click.echo(json.dumps(sections, indent=2))
    for name, rows in () if as_json else found.items():
        click.secho(f"{name}", bold=True)
        print_table(("SETTING", "VALUE", "FROM"), [(variable(r.name), r.value or "-", r.origin) for r in rows])
        click.echo()
    for stranger, meant in inventory.strangers(os.environ).items():
        say(f"Unknown setting {stranger}.{f' Did you mean {meant}?' if meant else ''}", err=True)
    for name, what in wrong.items():
        click.echo(plain_lines(f"{name}: {what}"), err=True)
    return EXIT_SETTINGS if wrong else 0
