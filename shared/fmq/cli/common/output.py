"""What commands print: lines, times and a progress bar."""

import sys
from datetime import UTC, datetime
from typing import Any

import click

from fmq.message import Waiting
from fmq.text import plain


def say(text: str, *, err: bool = False) -> None:
    """Print one line. Escapes everything that a terminal might act on."""
    click.echo(plain(text), err=err)


def moment(at: float | None) -> str:
    """Unix seconds as a time in UTC, a dash for None, or the number itself if it is not a date."""
    if at is None:
        return "-"
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def next_attempt(waits: Waiting) -> str:
    """When a message is due next. It waits longer if all processors are busy or its queue is paused."""
    return f"in {waits.due_in:,.1f} s" if waits.due_in else "now"


def progress_bar(length: int, label: str) -> Any:  # noqa: ANN401 - click names the type of its bar nowhere in public
    """A context manager with ``update(steps)``. Shows nothing if standard error is not a terminal."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=True, width=30
    )
