"""Tables that fit the terminal."""

import pytest

from fmq.cli.common.table import Column, shortened, table_lines, text_width

_COLUMNS = (Column("QUEUE", cut="middle"), "PENDING", Column("DONE", may_go=1), Column("STORED", may_go=2), "SINCE")
_LONG = "factory/hall-7/line-3/temperature"
_ROWS = [(_LONG, 1_000, 2, 3, "2026-11-29 11:35:47Z"), ("a", 1, 2, 3, "-")]


def test_without_a_terminal_nothing_is_shortened() -> None:
    """Programs and files get all of it, with numbers on the right."""
    head, first, second = table_lines(_COLUMNS, _ROWS)
    assert head.startswith(f"{'QUEUE'.ljust(len(_LONG))}  PENDING  DONE  STORED")
    assert first.startswith(f"{_LONG}    1,000     2       3")
    assert second.endswith("-")


@pytest.mark.parametrize("width", [120, 80, 70, 60, 50, 45])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Names give way first, in their middle; then columns are left out."""
    lines = table_lines(_COLUMNS, _ROWS, width=width)
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("factory")


def test_columns_are_left_out_in_their_order() -> None:
    """Only as many as needed for names that can be read."""
    heads = [table_lines(_COLUMNS, _ROWS, width=width)[0].split() for width in (70, 60, 52)]
    assert heads == [
        ["QUEUE", "PENDING", "DONE", "STORED", "SINCE"],
        ["QUEUE", "PENDING", "DONE", "SINCE"],
        ["QUEUE", "PENDING", "SINCE"],
    ]


@pytest.mark.parametrize(
    ("text", "width", "cut", "expected"),
    [
        ("abcdefghij", 7, "middle", "abc…hij"),
        ("abcdefghij", 7, "end", "abcdef…"),
        ("abcdefghij", 7, None, "abcdefghij"),
        ("abc", 7, "middle", "abc"),
        ("日本語温度計測", 7, "end", "日本語…"),
        ("日本語温度計測", 8, "middle", "日本…測"),
    ],
)
def test_shortened(text: str, width: int, cut: str, expected: str) -> None:
    """Names differ at both ends; a wide character takes two columns and is never cut in two."""
    assert shortened(text, width, cut) == expected  # type: ignore[arg-type]  # literals of the list
    assert text_width(expected) <= width or cut is None


def test_what_a_terminal_acts_on_is_escaped() -> None:
    """In each cell, before it is measured."""
    assert table_lines(("A",), [("x\x1b[31m",)]) == ["A", "x\\x1b[31m"]
