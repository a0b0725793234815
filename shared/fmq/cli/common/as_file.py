"""Writes a configuration file (TOML) from the settings of environment and an older file.

A file needs little of TOML, so a library that writes it is not worth its place in every image.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fmq.quantities import show
from fmq.service import inventory
from fmq.service.config.places import PROCESSOR, ROUTE, home
from fmq.service.environment import Reading, Source
from fmq.service.settings import HandlerSettings, SettingsModel, detail, is_secret


def to_file(reading: Reading, environ: Mapping[str, str]) -> str:
    """The text of a configuration file with the valid settings of ``reading``, which read ``environ``, that are not defaults.

    A secret is not written, but where its file is.
    """
    tables: dict[str, Any] = {}
    notes: dict[str, list[str]] = {}
    for section in inventory.in_use(reading).values():
        for model in section.models if section.route is None else ():
            settings = inventory.read(model, environ)
            for name, field in model.model_fields.items():
                source, place = reading.source(model, name), home(model, name)
                if source is None or place is None:
                    continue
                table, *keys = (PROCESSOR, *place) if issubclass(model, HandlerSettings) else place
                if is_secret(field) and not source.is_path:
                    note = f"{'.'.join(map(str, keys))}: a secret. Name its file in {'.'.join(map(str, keys))}_file"
                    if note not in notes.setdefault(str(table), []):
                        notes[str(table)].append(note)
                    tables.setdefault(str(table), {})
                    continue
                inside = tables.setdefault(str(table), {})
                for key in keys[:-1]:
                    inside = inside.setdefault(key, {})
                end = f"{keys[-1]}_file" if source.is_path else str(keys[-1])
                inside[end] = _given(model, name, source, getattr(settings, name, None))
    if reading.file.routes:
        tables[ROUTE] = list(reading.file.routes)
    return write(tables, notes)


def _given(model: type[SettingsModel], name: str, source: Source, value: object) -> object:
    """The value as people write it: a number, with its unit if it has one, a list, or the text as it was given."""
    unit = detail(model.model_fields[name], "unit")
    if source.is_path:
        return source.value
    if unit and isinstance(value, int | float):
        return show(value, unit) if value else 0
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return list(value)
    return source.value


def write(tables: Mapping[str, Any], notes: Mapping[str, Sequence[str]]) -> str:
    """The text of a file. ``tables`` are those at its top: values, tables of values, or lists of tables.

    ``notes`` are comments at the end of a table.
    """
    parts = []
    for name, table in tables.items():
        for one in table if isinstance(table, list) else [table]:
            head = f"[[{_key(name)}]]" if isinstance(table, list) else f"[{_key(name)}]"
            parts.append("\n".join([head, *_lines(one, ""), *(f"# {note}" for note in notes.get(name, ()))]) + "\n")
    return "\n".join(parts)


def _lines(table: Mapping[str, Any], above: str) -> list[str]:
    """The values, with dotted keys for the tables within."""
    found = []
    for key, value in table.items():
        name = f"{above}{_key(key)}"
        found += _lines(value, f"{name}.") if isinstance(value, Mapping) and value else [f"{name} = {_value(value)}"]
    return found


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _value(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{_key(str(key))} = {_value(one)}" for key, one in value.items()) + "}"
        case _:
            # A JSON string is a TOML string, but for one control character.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
