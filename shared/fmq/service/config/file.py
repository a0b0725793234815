"""Reads a configuration file (TOML)."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fmq.service.config.lines import find_lines
from fmq.service.config.places import ROUTE, Place

USUAL = "fmq.toml"
_DEEPEST = 20
"""Tables and lists within each other."""
_LARGEST = 1024 * 1024
_POSITION = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_SECOND_TABLE = "this table is there already: expected each table once"
_MANY_DIGITS = re.compile(r"[0-9_]{4300}")
_EXPECTED = {
    "Invalid value": 'expected text in quotes ("…"), a number, true, false, or a list in brackets ([…])',
    "Invalid statement": "expected key = value, or the name of a table in brackets ([broker])",
    "Cannot overwrite a value": "it has a value already: expected each key once",
    "Expected '=' after a key in a key/value pair": "expected = after the key",
    "Expected newline or end of document after a statement": "expected the end of the line after the value",
    "Unclosed array": "expected ] at the end of the list",
    "Unterminated string": "expected quotes at the end of the text",
    "Unescaped '\\' in a string": "expected \\\\ for a backslash, or text in single quotes",
}
"""What is expected, for what the TOML reader finds wrong most often."""


class ConfigFileError(Exception):
    """The file can't be read. Its text says why, for people."""


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file that was read. Without a file, it has no tables. Later changes of the file have no effect."""

    name: str = ""
    """Its path as it was given, for people."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    is_public: bool = False
    """Whether every user of the machine can read it."""

    def value(self, place: Place) -> object:
        """The value at ``place``; None if there is none."""
        found: Any = self.tables
        for key in place:
            if isinstance(key, int):
                found = found[key] if isinstance(found, list) and key < len(found) else None
            else:
                found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def where(self, place: Place) -> str:
        """The file and line of ``place``, such as fmq.toml:12."""
        while place and place not in self._lines:
            place = place[:-1]
        return f"{self.name}:{self._lines.get(place, 1)}"

    @property
    def routes(self) -> list[Mapping[str, Any]]:
        """The tables [[route]]."""
        found = self.tables.get(ROUTE)
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []

    @cached_property
    def _lines(self) -> dict[Place, int]:
        return find_lines(self.text)


def read_config(path: str | None, called: str) -> ConfigFile:
    """The configuration file at ``path``, which the setting ``called`` names; None: fmq.toml in the working directory, if any.

    Raises ConfigFileError.
    """
    if not path and not os.path.lexists(USUAL):
        return ConfigFile()
    name = path or USUAL
    shown = f"{called}={name!r}" if path else name
    try:
        with open(name, "rb", opener=_never_wait) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(mode) or os.path.samestat(os.fstat(file.fileno()), Path(os.devnull).stat())):
                raise ConfigFileError(f"{shown}: it is not a regular file; expected the path of a TOML file")
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigFileError(f"{shown}: can't be read ({why}); expected the path of a TOML file") from None
    if len(data) > _LARGEST:
        raise ConfigFileError(f"{shown}: it is larger than 1 MiB; expected a TOML file with settings")
    text = _decoded(data, name)
    return ConfigFile(name, _parsed(text, name), text, bool(mode & stat.S_IROTH))


def as_given(value: object) -> str | tuple[str, ...]:
    """A value of a file as a flag or a variable would give it: text, or a tuple of texts."""
    match value:
        case bool():
            return str(value).lower()
        case list():
            return tuple(_text(one) for one in value)
        case _:
            return _text(value)


def _text(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _never_wait(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigFileError(f"{name}:{line}: it is not UTF-8 text; save it as UTF-8") from None


def _is_too_deep(tables: object) -> bool:
    """Whether ``tables`` are deeper than any setting, and perhaps than Python's own functions can follow."""
    level = [tables]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)


def _parsed(text: str, name: str) -> dict[str, Any]:
    too_deep = ConfigFileError(f"{name}: lists or tables are nested too deeply")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise too_deep from None
    except ValueError as error:
        found = _POSITION.match(str(error))
        if found is None:  # tomllib refuses such a number without its position
            many = next((line for line, one in enumerate(text.split("\n"), start=1) if _MANY_DIGITS.search(one)), None)
            raise ConfigFileError(
                f"{name}:{many}: a number has too many digits" if many else f"{name}: {error}"
            ) from None
        what, line, column = found.groups()
        last = text.rstrip("\n").count("\n") + 1
        at = f"{line}:{column}" if line else str(last)
        is_table = what.startswith("Cannot declare")  # its text goes on with a tuple
        why = _SECOND_TABLE if is_table else _EXPECTED.get(what, what)
        raise ConfigFileError(f"{name}:{at}: {why}") from None
    if _is_too_deep(tables):
        raise too_deep
    return tables
