"""What a check of `fmq doctor` finds. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but something is likely to go wrong, or to be other than meant."""
    PROBLEM = "problem"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``about`` names what was looked at, ``text`` what was seen there, ``advice`` what to do if it is not ok."""

    about: str
    level: Level
    text: str
    advice: str = ""


def ok(about: str, text: str) -> Finding:
    """All is as it should be."""
    return Finding(about, Level.OK, text)


def warning(about: str, text: str, advice: str) -> Finding:
    """It works, but."""
    return Finding(about, Level.WARNING, text, advice)


def problem(about: str, text: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(about, Level.PROBLEM, text, advice)
