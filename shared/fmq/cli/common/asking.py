"""Asks before something can't be undone."""

import sys

import click

from fmq.errors import FmqError


def has_terminal() -> bool:
    """Whether somebody can answer on standard input."""
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """Ask a question on the terminal. Returns if the answer is yes.

    Raises UsageError (exit 2) without a terminal to ask on, and FmqError (exit 1) if the answer is no.
    """
    if not has_terminal():
        raise click.UsageError(f"{question} fmq has no terminal to ask on: add --yes to answer yes.")
    if not click.confirm(question, err=True):
        raise FmqError("Nothing was changed: the answer was no")
