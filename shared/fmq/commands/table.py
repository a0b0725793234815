"""Columns of text, and what stands in them."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from fmq.message import Waiting
from fmq.text import plain


def say(text: str, *, err: bool = False) -> None:
    """Print one line; whatever a terminal might act on is escaped."""
    click.echo(plain(text), err=err)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head."""
    for line in table_lines(head, rows):
        click.echo(line)


def table_lines(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The head and the rows as lines, each column as wide as its widest cell; numbers to the right."""
    cells = [tuple(f"{value:,}" if isinstance(value, int) else plain(str(value)) for value in row) for row in rows]
    widths = [max(len(row[column]) for row in (tuple(head), *cells)) for column in range(len(head))]
    numeric = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in (tuple(head), *cells)
    ]


def moment(at: float | None) -> str:
    """Unix seconds as a time in UTC, or a dash; the number itself, if there is no such date."""
    if at is None:
        return "-"
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def next_attempt(waits: Waiting) -> str:
    """When a message is handed out next, unless all processors are busy or its queue is paused."""
    return f"in {waits.due_in:,.1f} s" if waits.due_in else "now"
