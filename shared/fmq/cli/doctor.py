"""`fmq doctor`: checks everything that can be wrong and says what to do."""

import os
from collections import Counter

import click

from fmq.cli import checks
from fmq.cli.common.json_output import print_shape
from fmq.cli.common.output import say
from fmq.cli.common.shapes import DoctorShape, FindingShape
from fmq.cli.help import SettingsCommand
from fmq.cli.main import EXIT_FAULT, settings_options
from fmq.finding import Finding, Level
from fmq.service.settings import StoreSettings, variable
from fmq.text import plain

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command(cls=SettingsCommand, short_help="Find out what is wrong, and what to do about it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@click.option("--thorough", is_flag=True, help="Check the whole database for damage, whatever its size.")
@click.option(
    "--skip",
    multiple=True,
    metavar="CHECK",
    help="Skip a check: settings, store, clock, broker or handler. May be repeated.",
)
@settings_options(StoreSettings, but=("check_integrity", "synchronous", "mmap_bytes"))
def doctor(*, as_json: bool, thorough: bool, skip: tuple[str, ...], **flags: object) -> int:
    """Check settings, store, clock, broker and handler as this user, in this environment.

    Changes nothing except a note in the store, to see whether it can be written. Exit 1 if there is a problem; warnings alone
    give exit 0.
    """
    environ = {**os.environ, **{variable(name): str(value) for name, value in flags.items() if value is not None}}
    known = checks.all_checks(thorough=thorough)
    if unknown := set(skip) - known.keys():
        raise click.BadParameter(
            f"Unknown check {', '.join(sorted(unknown))}. Known: {', '.join(known)}", param_hint="--skip"
        )
    findings: list[Finding] = []
    for name, check in known.items():
        if name in skip:
            continue
        for finding in checks.run(check, environ):
            findings.append(finding)
            if not as_json:
                _tell(finding)
    count = Counter(one.level for one in findings)
    if as_json:
        shapes = [FindingShape(one.level.value, one.about, one.text, one.advice) for one in findings]
        print_shape(DoctorShape(count[Level.PROBLEM], count[Level.WARNING], shapes))
    else:
        click.echo()
        say(f"problems: {count[Level.PROBLEM]}, warnings: {count[Level.WARNING]}, ok: {count[Level.OK]}")
    return EXIT_FAULT if count[Level.PROBLEM] else 0


def _tell(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level], bold=finding.level is Level.PROBLEM)
    click.echo(f"{level} {plain(finding.about)}: {plain(finding.text)}")
    if finding.advice:
        say(f"         -> {finding.advice}")
