"""A progress bar on standard error, where that is a terminal."""

import sys
from typing import Any

import click


def progress_bar(length: int, label: str) -> Any:  # noqa: ANN401 - click names the type of its bar nowhere in public
    """A context manager with ``update(steps)``; shows nothing where nobody looks."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_pos=True, width=30
    )
