"""The findings of `fmq doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    """It works, but something may go wrong or is probably not intended."""
    PROBLEM = "problem"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``about`` names the subject, ``text`` says what was found, ``advice`` what to do if it is not ok."""

    about: str
    level: Level
    text: str
    advice: str = ""


def ok(about: str, text: str) -> Finding:
    """A finding without a problem."""
    return Finding(about, Level.OK, text)


def warning(about: str, text: str, advice: str) -> Finding:
    """A finding that may become a problem."""
    return Finding(about, Level.WARNING, text, advice)


def problem(about: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(about, Level.PROBLEM, text, advice)
