"""The command ``fmq``. Services add sub-commands by the entry-point group ``fmq.commands``."""

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from io import StringIO
from typing import Any, NoReturn, TypeVar

import click

import fmq
from fmq.errors import FmqError, HandlerError, LoginRefused, SettingsError, StoreRefused
from fmq.service import streams
from fmq.service.environment import Arguments, load
from fmq.service.settings import SettingsModel, is_secret, variable
from fmq.text import plain_lines

_S = TypeVar("_S", bound=SettingsModel)
_OPTIONS = "Options"
EXIT_FAULT = 1
EXIT_SETTINGS = 2
EXIT_STORE = 3


class _Group(click.Group):
    """Finds sub-commands by entry point and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _found().get(cmd_name)
        return entry.load() if entry else super().get_command(ctx, cmd_name)


@cache
def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="fmq.commands")}


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fmq.__version__, prog_name="fmq")
def fmq_command() -> None:
    """A durable buffer between an MQTT broker and slow or unreliable handlers.

    Exit codes: 0 success, 1 failure at run time, 2 invalid settings, 3 the store can't be used as it is.
    """


def run(command: click.Command) -> NoReturn:
    """Run a command as a program.

    An error of fmq, and a standard stream that can't be used, becomes one message on standard error, without a traceback.
    """
    streams.prepare()
    try:
        result = command.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        _complain(shown.getvalue())
        sys.exit(error.exit_code)
    except FmqError as error:
        _complain(f"fmq: {error}\n")
        sys.exit(exit_code(error))
    except streams.StreamFailed as error:
        streams.let_go()
        if not error.reader_has_ended:
            _complain(f"fmq: {error.strerror}\n")
        sys.exit(EXIT_FAULT)
    sys.exit(result if isinstance(result, int) else 0)


def _complain(text: str) -> None:
    try:
        click.echo(plain_lines(text), err=True, nl=False)
    except streams.StreamFailed:  # only the exit code remains
        streams.let_go()


def exit_code(error: BaseException) -> int:
    """The exit code for ``error``."""
    match error:
        case SettingsError() | HandlerError() | LoginRefused():
            return EXIT_SETTINGS
        case StoreRefused():
            return EXIT_STORE
        case _:
            return EXIT_FAULT


class _SettingOption(click.Option):
    """A flag with its own heading in the help."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:  # noqa: ANN401 - as click's Option
        super().__init__(*args, **kwargs)
        self.heading = heading


class SettingsCommand(click.Command):
    """A command whose help groups its flags by heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_heading: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                by_heading.setdefault(getattr(option, "heading", _OPTIONS), []).append(record)
        for heading, records in by_heading.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def settings_options(
    model: type[SettingsModel], *, but: tuple[str, ...] = (), heading: str = _OPTIONS
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds a flag for each setting of ``model``, except secrets and those in ``but``.

    A SettingsCommand shows them in its help under ``heading``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(model.model_fields.items()):
            if name in but or is_secret(field):
                continue
            flag, text = f"--{name.replace('_', '-')}", f"{field.description} [{variable(name)}]"
            if field.annotation is bool:
                flag = f"{flag}/--no-{name.replace('_', '-')}"
            function = click.option(flag, name, cls=_SettingOption, heading=heading, default=None, help=text)(function)
        return function

    return decorate


def read_settings(
    model: type[_S], flags: dict[str, object], arguments: Arguments = None, *, strict: bool = False
) -> _S:
    """The settings from a command's flags and this process's environment (see ``load``). Raises SettingsError."""
    return load(model, flags, os.environ, arguments, strict=strict)


def main() -> NoReturn:
    """The entry point of ``fmq``."""
    run(fmq_command)
