"""`fmq config`: shows the effective settings and where each comes from."""

import os
from importlib.resources import files

import click

from fmq.cli.common.as_file import to_file
from fmq.cli.common.json_output import print_shape
from fmq.cli.common.output import say
from fmq.cli.common.shapes import ConfigShape, SettingShape
from fmq.cli.common.table import Column, print_table
from fmq.cli.help import SettingsCommand
from fmq.cli.main import EXIT_SETTINGS
from fmq.errors import SettingsError
from fmq.service import inventory
from fmq.service.config import strangers
from fmq.service.environment import Reading
from fmq.service.settings import variable


@click.command(cls=SettingsCommand, short_help="Show the effective settings, and where each comes from.")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--config", "path", metavar="FILE", help="Configuration file. [FMQ_CONFIG]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@click.option("--changed", is_flag=True, help="Show only settings that differ from their default.")
@click.option("--toml", "as_toml", is_flag=True, help="Print the settings as a configuration file, without secrets.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the configuration file, for editors.")
def config(
    services: tuple[str, ...], path: str | None, *, as_json: bool, changed: bool, as_toml: bool, schema: bool
) -> int:
    """Show the effective settings of each SERVICE (default: all installed services, and the chosen handler or the routes of the
    configuration file). Secrets are hidden.

    Exit 2, after showing them, if a service would reject them.
    """
    if [as_json, as_toml, schema].count(True) > 1:
        raise click.UsageError("--json, --toml and --schema print different things: give one of them")
    if schema:
        click.echo(files(strangers.__package__).joinpath("fmq.schema.json").read_text(encoding="utf-8"), nl=False)
        return 0
    environ = {**os.environ, **({variable("config"): path} if path else {})}
    reading = Reading({}, environ)
    sections = inventory.in_use(reading)
    if unknown := [name for name in services if name not in sections]:
        raise click.BadParameter(
            f"Unknown service {', '.join(unknown)}. Known: {', '.join(sections)}", param_hint="SERVICE"
        )
    chosen = {name: sections[name] for name in services or sections}
    wrong = _problems(chosen, environ)
    if as_toml:
        if wrong:
            raise SettingsError("\n".join(["Invalid settings:", *(f"  {one}" for one in wrong)]))
        click.echo(to_file(reading, environ), nl=False)
        return 0
    found = {
        name: [one for one in inventory.effective(section, reading) if not changed or one.origin != "default"]
        for name, section in chosen.items()
    }
    if as_json:
        shown = {name: {one.name: SettingShape(one.value, one.origin) for one in rows} for name, rows in found.items()}
        print_shape(ConfigShape(shown, list(wrong)))
    for name, rows in () if as_json else found.items():
        click.secho(f"{name}", bold=True)
        named = str if chosen[name].route is not None else variable
        print_table(
            ("SETTING", Column("VALUE", cut="middle"), "FROM"),
            [(named(r.name), r.value or "-", r.origin) for r in rows],
        )
        click.echo()
    for line in (*wrong, *reading.remarks()):
        say(line, err=True)
    return EXIT_SETTINGS if wrong else 0


def _problems(chosen: dict[str, inventory.Section], environ: dict[str, str]) -> dict[str, None]:
    """What the services of these sections reject, each problem once."""
    known = inventory.services()
    names = dict.fromkeys(name if name in known else "processor" for name in chosen)
    return dict.fromkeys(line for name in names for line in inventory.problems(name, known[name], environ))
