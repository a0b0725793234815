"""The command ``fmq``. Services add sub-commands by the entry-point group ``fmq.commands``."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from io import StringIO
from typing import Any, NoReturn, TypeVar, cast

import click

import fmq
from fmq.cli.help import WIDEST, SettingsGroup, setting_option
from fmq.errors import (
    FmqError,
    HandlerError,
    LoginRefused,
    SettingsError,
    Stopped,
    StoreRefused,
    UnknownMessage,
    UnknownQueue,
)
from fmq.extras import missing_command, missing_part
from fmq.revision import revision
from fmq.service import streams
from fmq.service.environment import Arguments, Reading, load
from fmq.service.settings import ServiceSettings, SettingsModel
from fmq.text import plain_lines, without_long_words

_log = logging.getLogger("fmq")
_S = TypeVar("_S", bound=SettingsModel)
_COMMANDS: Mapping[str, Sequence[str]] = {
    "Run": ("listen", "process", "web", "demo"),
    "Look": ("status", "peek", "check", "health"),
    "Repair": ("dead", "requeue", "pause", "resume", "release", "order", "queue", "set-aside"),
    "Move": ("export", "import", "migrate", "backup"),
    "Set up": ("init", "config", "try", "doctor"),
}
_OTHERS = "Other"
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("run", "start", "up"), "`fmq listen TOPIC` and `fmq process TOPIC`, or `fmq demo`"),
    **dict.fromkeys(("list", "ls", "queues", "stats"), "`fmq status`"),
    **dict.fromkeys(("publish", "pub"), "an MQTT client, such as mosquitto_pub"),
    **dict.fromkeys(("subscribe", "sub"), "`fmq listen TOPIC`"),
    **dict.fromkeys(("consume", "work", "worker"), "`fmq process TOPIC`"),
    "retry": "`fmq dead requeue QUEUE`",
    "help": "`fmq --help`",
    "version": "`fmq --version`",
}
"""What other programs call a command, and what it is here."""
EXIT_FAULT = 1
EXIT_SETTINGS = 2
EXIT_STORE = 3
EXIT_NOT_FOUND = 4
EXIT_SIGNAL = 128
"""Plus the number of the signal."""
_PREFIX = "fmq: "
_SERVICES = {"listen": "listener", "process": "processor", "web": "web"}
"""Commands that write logs, with the names of their services."""


class _Group(SettingsGroup):
    """Finds sub-commands by entry point, imports only the one that runs, and lists them by what they are for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_found()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _found().get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        try:
            return cast("click.Command", entry.load())
        except ImportError as error:
            if (missing := missing_part(error)) is None:
                raise
            raise click.UsageError(f"The command {cmd_name} can't be used: {missing}") from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        missing = missing_command(args[0])
        if missing is not None and args[0] not in _found():
            raise click.UsageError(f"The command {args[0]} can't be used: {missing}")
        if args[0] in _ELSEWHERE and args[0] not in _found():
            raise click.UsageError(f"No such command {args[0]!r}. Use {_ELSEWHERE[args[0]]}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, click.Command] = {}
        for name in self.list_commands(ctx):
            with suppress(click.UsageError):  # a part of it is not installed
                if command := self.get_command(ctx, name):
                    found[name] = command
        known = {name for names in _COMMANDS.values() for name in names}
        width = max(map(len, found), default=0)
        for title, names in {**_COMMANDS, _OTHERS: sorted(found.keys() - known)}.items():
            rows = [
                (one.ljust(width), found[one].get_short_help_str(formatter.width - width - 6))
                for one in names
                if one in found
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@cache
def _found() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="fmq.commands")}


def _version() -> str:
    found = revision()
    return f"{fmq.__version__} (revision {found})" if found else fmq.__version__


@click.group(
    cls=_Group,
    epilog="`fmq COMMAND --help` explains a command. Exit codes: 0 success, 1 failure or a check that found something, 2 invalid "
    "settings or arguments, 3 the store can't be used as it is, 4 no such queue or message, 128 and more: stopped by a signal "
    "(130: Ctrl-C).",
)
@click.version_option(_version(), prog_name="fmq")
def fmq_command() -> None:
    """A durable buffer between an MQTT broker and slow or unreliable handlers."""


def run(command: click.Command) -> NoReturn:
    """Run a command as a program.

    An error of fmq, and a standard stream that can't be used, becomes one message on standard error, without a traceback.
    """
    streams.prepare()
    try:
        plain = False if os.environ.get("NO_COLOR") else None  # no-color.org; None: colours on a terminal only
        result = command.main(standalone_mode=False, max_content_width=WIDEST, color=plain)
        sys.stdout.flush()
    except click.exceptions.Abort:
        sys.exit(EXIT_SIGNAL + signal.SIGINT)
    except click.UsageError as error:
        if error.ctx is not None and error.ctx.command.name in _SERVICES:
            begin_service(_SERVICES[error.ctx.command.name], {})
        _end(_usage(error), EXIT_SETTINGS)
    except click.ClickException as error:
        shown = StringIO()
        error.show(shown)
        _complain(shown.getvalue())
        sys.exit(error.exit_code)
    except FmqError as error:
        _end(f"{_PREFIX}{error}\n", exit_code(error))
    except streams.StreamFailed as error:
        streams.let_go()
        if not error.reader_has_ended:
            _complain(f"fmq: {error.strerror}\n")
        sys.exit(EXIT_FAULT)
    except Exception as error:
        if not _writes_json():
            raise
        _log.critical(
            "Ended by an error that fmq does not know: %s", error, exc_info=error, extra={"exit_code": EXIT_FAULT}
        )
        sys.exit(EXIT_FAULT)
    sys.exit(result if isinstance(result, int) else 0)


def begin_service(service: str, flags: Mapping[str, object]) -> None:
    """Set up the logs of a service before its settings are known to be valid, so that their errors are in the format of the logs.

    ``service`` is as for ``fmq.service.log.configure``. ``flags`` are those of the command. An invalid format counts as auto.
    """
    from fmq.service.log import Style, configure  # noqa: PLC0415 - a tenth of the start of commands that write no logs

    given = Reading(flags, os.environ).source(ServiceSettings, "log_format")
    known: Mapping[object, Style] = {"json": "json", "text": "text"}
    configure(service=service, level="INFO", style="auto" if given is None else known.get(given.value, "auto"))


def _writes_json() -> bool:
    log = sys.modules.get("fmq.service.log")  # no logs were set up before it was loaded
    return log is not None and bool(log.writes_json())


def _end(text: str, code: int) -> NoReturn:
    """End with a message: a line of JSON where the logs are JSON, else text for people."""
    if _writes_json():
        lines = without_long_words(text.removeprefix(_PREFIX)).rstrip("\n").split("\n")
        first, *more = (line.strip() for line in lines)
        # What is below a heading is a list, such as that of all invalid settings.
        is_list = first.endswith(":")
        shown = " ".join([first, ("; " if is_list else " ").join(more)]).rstrip()
        _log.critical("%s", shown, extra={"exit_code": code, **({"problems": more} if is_list else {})})
    else:
        _complain(text)
    sys.exit(code)


def _usage(error: click.UsageError) -> str:
    """What was wrong with the arguments, and where the right ones are shown."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) or error.ctx is None:
        return f"{error.format_message()}\n" if error.ctx is not None else f"fmq: {error.format_message()}\n"
    return f"fmq: {error.format_message()}\nSee `{error.ctx.command_path} --help`\n"


def _complain(text: str) -> None:
    try:
        click.echo(without_long_words(plain_lines(text)), err=True, nl=False)
    except streams.StreamFailed:  # only the exit code remains
        streams.let_go()


def exit_code(error: BaseException) -> int:
    """The exit code for ``error``."""
    match error:
        case SettingsError() | HandlerError() | LoginRefused():
            return EXIT_SETTINGS
        case StoreRefused():
            return EXIT_STORE
        case UnknownQueue() | UnknownMessage():
            return EXIT_NOT_FOUND
        case Stopped():
            return EXIT_SIGNAL + error.signal
        case _:
            return EXIT_FAULT


def settings_options(
    model: type[SettingsModel], *, but: tuple[str, ...] = (), heading: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds a flag for each setting of ``model``, except secrets and those in ``but``.

    A SettingsCommand shows them in its help under ``heading``, by default the one that the model gives them, and names the
    secrets.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(model.model_fields):
            if name not in but:
                function = setting_option(model, name, heading)(function)
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
