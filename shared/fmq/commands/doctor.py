"""`fmq doctor`: look at everything that can be wrong, and say what to do."""

import json
import os
from dataclasses import asdict

import click

from fmq import checks
from fmq.cli import EXIT_FAULT, settings_options
from fmq.commands.table import say
from fmq.finding import Finding, Level
from fmq.settings import StoreSettings, variable
from fmq.text import plain

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.option("--thorough", is_flag=True, help="Check the whole database for damage, however large.")
@click.option(
    "--skip", multiple=True, metavar="CHECK", help="Leave a check out: settings, store, clock, broker, handler."
)
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes"))
def doctor(*, as_json: bool, thorough: bool, skip: tuple[str, ...], **flags: object) -> int:
    """Check settings, store, clock, broker and handler, with this user and this environment.

    Changes nothing but a note in the store, to see that it can be written. Exit 1 on a problem; warnings alone are no problem.
    """
    environ = {**os.environ, **{variable(name): str(value) for name, value in flags.items() if value is not None}}
    known = checks.all_checks(thorough=thorough)
    if unknown := set(skip) - known.keys():
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}", param_hint="--skip")
    count = dict.fromkeys(Level, 0)
    for name, check in known.items():
        if name in skip:
            continue
        for finding in checks.run(check, environ):
            count[finding.level] += 1
            _tell(finding, as_json=as_json)
    if not as_json:
        click.echo()
        say(f"problems: {count[Level.PROBLEM]}, warnings: {count[Level.WARNING]}, ok: {count[Level.OK]}")
    return EXIT_FAULT if count[Level.PROBLEM] else 0


def _tell(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(finding)))
        return
    level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level], bold=finding.level is Level.PROBLEM)
    click.echo(f"{level} {plain(finding.about)}: {plain(finding.text)}")
    if finding.advice:
        say(f"         -> {finding.advice}")
