"""What commands print about themselves: commands and options in groups, and what was meant instead of a misspelt one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, EnumType
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from fmq.service.settings import SettingsModel, detail, is_secret, show_number, variable

WIDEST = 140
"""Columns of a help page at most: longer lines are hard to read."""
_OPTIONS = "Options"
_HEADINGS = (
    _OPTIONS,
    "Broker",
    "Delivery",
    "Retries",
    "Circuit breaker",
    "Dead letters",
    "Decoding",
    "Duplicates and delays",
    "Web page",
)
_LAST_HEADINGS = ("Retention", "Store", "Service")
_FIRST_COLUMN = 34
_SECRETS = "__fmq_secrets__"
_HELP_OPTIONS = ["-h", "--help"]


@dataclass(frozen=True, slots=True)
class _Secret:
    """A secret setting. It has no flag, so the help says how else to give it."""

    name: str
    field: FieldInfo
    heading: str


class _SettingOption(click.Option):
    """The flag of a setting, and the heading under which the help shows it."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:  # noqa: ANN401 - as click's Option
        super().__init__(*args, **kwargs)
        self.heading = heading


def setting_option(
    model: type[SettingsModel], name: str, heading: str | None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that adds the flag of a setting to a command. For a secret it adds a note to its help.

    ``heading`` is that of the model by default.
    """
    field = model.model_fields[name]
    under = heading or heading_of(model, name)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if is_secret(field):
            setattr(function, _SECRETS, (_Secret(name, field, under), *getattr(function, _SECRETS, ())))
            return function
        flag = f"--{name.replace('_', '-')}"
        is_switch = field.annotation is bool
        return click.option(
            f"{flag}/--no-{flag[2:]}" if is_switch else flag,
            name,
            cls=_SettingOption,
            heading=under,
            default=None,
            metavar=None if is_switch else _metavar(field),
            help=f"{field.description} [{'; '.join(_facts(name, field))}]",
        )(function)

    return decorate


def heading_of(model: type[SettingsModel], name: str) -> str:
    """The heading of the setting ``name`` of ``model``."""
    for one in model.__mro__:
        for heading, names in vars(one).get("headings", {}).items():
            if name in names:
                return str(heading)
    return _OPTIONS


def default_text(field: FieldInfo) -> str | None:
    """The default of a setting for people; None if it has none."""
    if field.is_required() or field.default in (None, (), ""):
        return None
    match field.default:
        case bool() as value:
            return str(value).lower()
        case tuple() as values:
            return ",".join(map(str, values))
        case int() | float() as value:
            return show_number(field, f"{value:g}" if isinstance(value, float) else str(value))
        case value:
            return show_number(field, str(value))


def setting_note(name: str, field: FieldInfo) -> tuple[str, str]:
    """A line of the help about a setting that has no flag."""
    key = variable(name)
    facts = "; ".join(list(_facts(name, field))[1:])
    how = (
        f" A secret, so not a flag: set this variable, or {key}_FILE to the path of a file with it."
        if is_secret(field)
        else ""
    )
    return key, f"{field.description}{how}{f' [{facts}]' if facts else ''}"


def _facts(name: str, field: FieldInfo) -> Iterator[str]:
    yield variable(name)
    if field.is_required():
        yield "required"
    elif (default := default_text(field)) is not None:
        yield f"default: {default}"


def _metavar(field: FieldInfo) -> str:
    """What kind of value a setting takes, as the help shows it after the flag."""
    if unit := detail(field, "unit"):
        return "TIME" if unit == "seconds" else "SIZE"
    kinds = [one for one in (get_args(field.annotation) or (field.annotation,)) if one is not type(None)]
    if get_origin(field.annotation) is Literal:
        return "|".join(map(str, kinds))
    if unit := detail(field, "unit"):
        return {"seconds": "TIME", "bytes": "SIZE"}[unit]
    match kinds[0]:
        case EnumType() as enum:
            return "|".join(str(one.value) for one in list[Enum](enum))
        case type() as kind if kind is int:
            return "INTEGER"
        case type() as kind if kind is float:
            return "NUMBER"
        case type() as kind if kind.__name__ == "Path":
            return "FILE"
        case _:
            return "TEXT"


class SettingsCommand(click.Command):
    """A command whose help groups its flags by heading, and names the secrets that have none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click's Command
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", _HELP_OPTIONS)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter, self.is_shown)

    def is_shown(self, ctx: click.Context, heading: str) -> bool:  # noqa: ARG002 - for those that override it
        """Whether the help shows the options under ``heading``."""
        return True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _flags_explained(self, ctx):
            return super().parse_args(ctx, args)


class SettingsGroup(click.Group):
    """The same for a group of commands. Its commands are SettingsCommands."""

    command_class = SettingsCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as click's Group
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", _HELP_OPTIONS)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter, lambda _context, _heading: True)
        self.format_commands(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _flags_explained(self, ctx):
            return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = self.list_commands(ctx)  # also those that are not loaded yet
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None


def _write_options(
    command: click.Command,
    ctx: click.Context,
    formatter: click.HelpFormatter,
    is_shown: Callable[[click.Context, str], bool],
) -> None:
    by_heading: dict[str, list[tuple[str, str]]] = {}
    for option in command.get_params(ctx):
        record = option.get_help_record(ctx)
        if record and isinstance(option, click.Option):
            by_heading.setdefault(getattr(option, "heading", _OPTIONS), []).append(record)
    for secret in _secrets(command):
        by_heading.setdefault(secret.heading, []).append(setting_note(secret.name, secret.field))
    for heading in _in_order(by_heading):
        if is_shown(ctx, heading):
            with formatter.section(heading):
                formatter.write_dl(by_heading[heading], col_max=_FIRST_COLUMN)


def _in_order(headings: Iterable[str]) -> list[str]:
    """First what matters most, last what every service has."""
    found = list(headings)
    others = [one for one in found if one not in {*_HEADINGS, *_LAST_HEADINGS}]
    return [one for one in (*_HEADINGS, *others, *_LAST_HEADINGS) if one in found]


def _secrets(command: click.Command) -> Sequence[_Secret]:
    return getattr(command.callback, _SECRETS, ())


@contextmanager
def _flags_explained(command: click.Command, ctx: click.Context) -> Iterator[None]:
    """Say how to give a secret, or an argument, if somebody gives it as a flag. Never shows its value."""
    try:
        yield
    except click.NoSuchOption as error:
        for secret in _secrets(command):
            if error.option_name == f"--{secret.name.replace('_', '-')}":
                key = variable(secret.name)
                raise click.UsageError(
                    f"{error.option_name} is not a flag: other users of this machine would see the secret. "
                    f"Set the variable {key}, or {key}_FILE to the path of a file with it",
                    ctx,
                ) from None
        for argument in command.params:
            one, name = str(argument.name), error.option_name.removeprefix("--")
            if isinstance(argument, click.Argument) and name in (one, f"{one}s", one.removesuffix("s")):
                shown = argument.make_metavar(ctx).strip("[].… ")
                raise click.UsageError(
                    f"{error.option_name} is not an option: give {shown} without it, as in `{ctx.command_path} {shown}`",
                    ctx,
                ) from None
        raise
