"""Tables that fit the terminal."""

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import click

from fmq.text import plain

_GAP = "  "
_READABLE = 16
_LEAST = 6


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``cut`` says where a long text is shortened; ``may_go``: on a narrow terminal it is left out, the highest first."""

    head: str
    cut: Literal["middle", "end"] | None = None
    may_go: int = 0


def print_table(columns: Sequence[Column | str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, as wide as the terminal at most. Without a terminal nothing is shortened."""
    for line in table_lines(columns, rows, width=terminal_width()):
        click.echo(line)


def terminal_width() -> int | None:
    """The columns of the terminal on standard output; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(
    columns: Sequence[Column | str], rows: Sequence[Sequence[object]], *, width: int | None = None
) -> list[str]:
    """The lines of a table, at most ``width`` wide if its columns can be shortened so far. Numbers are right-aligned.

    Each column is as wide as its widest cell, or narrower on a narrow terminal.
    """
    named = [one if isinstance(one, Column) else Column(one) for one in columns]
    cells = [[f"{value:,}" if isinstance(value, int) else plain(str(value)) for value in row] for row in rows]
    natural = [max(text_width(row[at]) for row in ([one.head for one in named], *cells)) for at in range(len(named))]
    shown = list(range(len(named)))
    if width is not None:
        for at in sorted((at for at in shown if named[at].may_go), key=lambda at: -named[at].may_go):
            if _total([_narrowest(named[one], natural[one]) for one in shown]) > width:
                shown.remove(at)
    widths = _fit([natural[at] for at in shown], [named[at] for at in shown], width)
    numeric = [bool(rows) and all(isinstance(row[at], int) for row in rows) for at in shown]
    return [
        _GAP.join(
            _padded(shortened(row[at], wide, named[at].cut), wide, right=right)
            for at, wide, right in zip(shown, widths, numeric, strict=True)
        ).rstrip()
        for row in ([one.head for one in named], *cells)
    ]


def _narrowest(column: Column, natural: int) -> int:
    return min(natural, max(_READABLE, len(column.head))) if column.cut else natural


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _fit(natural: Sequence[int], columns: Sequence[Column], width: int | None) -> list[int]:
    """The widths, of which the widest that can be shortened gives way first."""
    widths = list(natural)
    flexible = [at for at, column in enumerate(columns) if column.cut]
    while width is not None and _total(widths) > width and flexible:
        widest = max(flexible, key=lambda at: widths[at])
        if widths[widest] <= max(_LEAST, len(columns[widest].head)):
            break
        widths[widest] -= 1
    return widths


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - text_width(text))
    return blanks + text if right else text + blanks


def text_width(text: str) -> int:
    """The columns that ``text`` takes on a terminal: two for a wide character, none for one that combines with another."""
    if text.isascii():
        return len(text)
    return sum(_character_width(one) for one in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def shortened(text: str, width: int, cut: Literal["middle", "end"] | None) -> str:
    """``text`` within ``width`` columns, with … where something was left out: names differ at both ends, so in their middle."""
    if cut is None or text_width(text) <= width:
        return text
    room = max(width - 1, 1)
    if cut == "end":
        return f"{_head(text, room)}…"
    return f"{_head(text, room - room // 2)}…{_head(text[::-1], room // 2)[::-1]}"


def _head(text: str, width: int) -> str:
    taken = 0
    for at, character in enumerate(text):
        taken += _character_width(character)
        if taken > width:
            return text[:at]
    return text
