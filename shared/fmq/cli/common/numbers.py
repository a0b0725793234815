"""Types of numbers on the command line, with errors in words."""

from typing import Any

import click


class Count(click.IntRange):
    """A whole number from ``min``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - as click has it
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            to = "" if self.max is None else f" to {self.max}"
            self.fail(f"{value!r}: expected a whole number from {self.min}{to}", param, ctx)


class Rate(click.FloatRange):
    """A number above 0, up to ``most``."""

    def __init__(self, most: float | None = None) -> None:
        super().__init__(0, most, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - as click has it
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            to = "" if self.max is None else f" and up to {self.max:,.0f}"
            self.fail(f"{value!r}: expected a number above 0{to}, such as 0.5 or 100", param, ctx)
