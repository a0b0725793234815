"""Makes docs/cli.md from the commands themselves. With --check, reports whether it is old."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fmq.cli.main import fmq_command
from fmq.service.settings import variable

PAGE = Path(__file__).parent / "cli.md"
_BEGIN = """<!-- Made from the code by docs/make_cli.py: change it there. -->

# Commands

`fmq COMMAND --help` shows the same in a terminal. Every setting of a command is a flag too: the [settings](settings.md) say what
each is for. `fmq --version` prints the version.

`fmq listen`, `fmq process` and `fmq web` are also programs of their own: `fmq-listen`, `fmq-process` and `fmq-web`.
"""
_CODE = re.compile(r"``([^`]+)``")


def page() -> str:
    """The whole page."""
    parts = [_BEGIN]
    context = click.Context(fmq_command, info_name="fmq")
    commands = list(_commands(fmq_command, context))
    parts.append("\n| command | |\n| --- | --- |")
    parts += [
        f"| [`{one.command_path}`](#{one.command_path.replace(' ', '-')}) | {_cell(_first(one.command))} |"
        for one in commands
    ]
    parts += [_section(one) for one in commands]
    return "\n".join(parts) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """The commands of a group and of its groups; a group itself only if it does something without a command."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(context: click.Context) -> str:
    command = context.command
    lines = [f"\n## {context.command_path}\n", f"```text\n{context.command_path} {_usage(context)}\n```\n"]
    lines.append(_text(command.help or ""))
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    own = [option for option in options if not _is_setting(option)]
    settings = [option for option in options if _is_setting(option)]
    if own:
        lines.append("\n| option | |\n| --- | --- |")
        lines += [f"| {_flags(option, context)} | {_cell(_about(option, context))} |" for option in own]
    if settings:
        lines.append("\n| settings | |\n| --- | --- |")
    for heading in dict.fromkeys(getattr(option, "heading", "") for option in settings):
        names = ", ".join(f"`{option.opts[0]}`" for option in settings if getattr(option, "heading", "") == heading)
        lines.append(f"| {heading} | {names} |")
    return "\n".join(lines)


def _usage(context: click.Context) -> str:
    return " ".join(context.command.collect_usage_pieces(context))


def _is_setting(option: click.Option) -> bool:
    """Whether an option is a setting's flag, which its help says by the name of the variable."""
    return re.search(rf"\[{variable(option.name or '')}[];]", option.help or "") is not None


def _flags(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    return f"`{_cell(record[0] if record else option.opts[0])}`"


def _about(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    return " ".join((record[1] if record else "").split())


def _first(command: click.Command) -> str:
    """The first sentence of a command's help."""
    text = " ".join(_text(command.help or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")


def _text(doc: str) -> str:
    """Help as Markdown: without the marks of click, paragraphs in one line each."""
    paragraphs = inspect.cleandoc(doc).replace("\f", "").split("\n\n")
    lines = []
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):  # keeps its lines
            lines.append("```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            lines.append(_CODE.sub(r"`\1`", " ".join(paragraph.split())))
    return "\n\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


def main() -> int:
    """Write the page, or report whether it is old."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in sys.argv:
        print("docs/cli.md differs from the code: run make fmt", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
