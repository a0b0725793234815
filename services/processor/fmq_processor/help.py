"""The help of `fmq process`: only the options of the chosen handler."""

import os
from collections.abc import Sequence

import click

from fmq.cli.help import SettingsCommand, setting_note
from fmq.errors import HandlerError
from fmq.handler import find_handler
from fmq.service.environment import Reading
from fmq_processor.handlers import BUILTIN, SETTINGS
from fmq_processor.settings import ProcessorSettings

_OF_HANDLER = "Handler "
_FLAG = "--handler"


def heading_of_handler(name: str) -> str:
    """The heading of a handler's options."""
    return f"{_OF_HANDLER}{name}"


class ProcessCommand(SettingsCommand):
    """`fmq process`. Its help shows the options of the handler that its arguments, FMQ_HANDLER or fmq.toml name."""

    how = "fmq process --handler NAME"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = Reading({"handler": self.named(args)}, os.environ).source(ProcessorSettings, "handler")
        ctx.meta[_FLAG] = str(named.value if named else ProcessorSettings.model_fields["handler"].default)
        return super().parse_args(ctx, args)

    def is_shown(self, ctx: click.Context, heading: str) -> bool:
        return not heading.startswith(_OF_HANDLER) or heading == heading_of_handler(ctx.meta[_FLAG])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        chosen = ctx.meta[_FLAG]
        if chosen not in BUILTIN:
            _write_own(chosen, formatter)
        others = ", ".join(name for name in SETTINGS if name != chosen)
        formatter.write_paragraph()
        formatter.write_text(f"Options of another handler: {self.how} --help. Handlers with options: {others}.")

    def named(self, args: Sequence[str]) -> str | None:
        """The handler in the arguments. Help is shown before they are parsed."""
        for at, word in enumerate(args):
            if word == _FLAG and at + 1 < len(args):
                return args[at + 1]
            if word.startswith(f"{_FLAG}="):
                return word.partition("=")[2]
        return None


class TryCommand(ProcessCommand):
    """`fmq try`, whose argument is the handler."""

    how = "fmq try NAME"

    def named(self, args: Sequence[str]) -> str | None:
        return next((word for word in args if word in BUILTIN or (":" in word and not word.startswith("-"))), None)


def _write_own(reference: str, formatter: click.HelpFormatter) -> None:
    """The settings of a user's own handler, which have no flags."""
    try:
        model = find_handler(reference, BUILTIN).settings
    except HandlerError as error:
        rows = [(reference, f"Its settings are unknown: {error}")]
    else:
        rows = [] if model is None else [setting_note(name, field) for name, field in model.model_fields.items()]
    if rows:
        with formatter.section(f"{heading_of_handler(reference)} (variables)"):
            formatter.write_dl(rows)
