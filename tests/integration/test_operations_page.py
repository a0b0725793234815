"""What the pages say of commands is so."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fmq.cli import fmq_command

_ROOT = Path(__file__).parents[2]
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_SPAN = re.compile(r"`(fmq [^`\n]*)`|^(?:\$ )?(fmq [^|\n]*)", re.MULTILINE)


def test_the_examples_are_what_the_commands_say() -> None:
    """Made anew, docs/operations.md differs only in figures and times."""
    program = [sys.executable, str(_ROOT / "docs" / "make_operations.py"), "--check"]
    told = subprocess.run(program, capture_output=True, text=True, check=False, timeout=100)
    assert told.returncode == 0, told.stderr


def _commands(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    return {(one[0] or one[1]).strip() for one in _SPAN.findall(text)}


def _resolve(words: list[str]) -> click.Command:
    """The command that these words name. Raises LookupError."""
    found: click.Command = fmq_command
    context = click.Context(found)
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        inner = found.get_command(context, words[0])
        if inner is None:
            raise LookupError(words[0])
        found, words = inner, words[1:]
    return found


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_the_commands_that_a_page_names_exist(page: Path) -> None:
    """Each with its sub-command and its options."""
    for text in _commands(page):
        words = [word for word in shlex.split(text, comments=True)[1:] if word != "&"]
        command = _resolve(words)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        known |= {"--help", "-h", "--version"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, text
