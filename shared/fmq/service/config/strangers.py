"""Finds variables and keys that no part of fmq reads, and what they were probably meant to be.

``fmq.schema.json`` names the settings of all parts, so that each image knows those of the others too.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from fmq.service.config.file import ConfigFile
from fmq.service.config.places import PROCESSOR, ROUTE, Place
from fmq.service.settings import PREFIX, variable
from fmq.text import plain

VARIABLE, HANDLER = "x-fmq-variable", "x-fmq-handler"
"""Keywords of the schema: the variable of a key, and whether a table is a handler's."""
_ALIKE, _KEYS_ALIKE = 0.85, 0.7
# What Kubernetes sets for a Service called fmq (kubernetes.io, "Environment variables" of Services).
_OF_KUBERNETES = r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?"
_OF_COMPOSE = r"(LISTENER|PROCESSOR|WEB|POSTGRES)_(IMAGE|MEMORY)|(HANDLERS|WEB)_FOLDER|CONFIG_FILE|(BROKER|LISTENER)_PORT|STOP_GRACE_PERIOD|PROCESSORS|REVISION"
# Of the tests, and what the handler exec sets for a command, which may be fmq.
_OF_OTHERS = r"TEST_\w+|MESSAGE_\w+"
_USUAL = {
    "host": "url",
    "port": "url",
    "uri": "url",
    "path": "url",
    "file": "url",
    "user": "username",
    "pass": "password",
    "retries": "max_retries",
    "timeout": "handler_timeout",
    "topics": "queues",
}
"""What other programs call a key."""
_RENAMED = {variable("webhook_rate"): variable("rate_limit")}
_NOT_OURS = re.compile(f"{PREFIX}({_OF_KUBERNETES}|{_OF_COMPOSE}|{_OF_OTHERS})")


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a configuration file."""
    found: dict[str, Any] = json.loads(files(__package__).joinpath("fmq.schema.json").read_text(encoding="utf-8"))
    return found


def unknown_variables(environ: Mapping[str, str], own: Collection[str]) -> dict[str, str | None]:
    """Variables that nobody reads, each with the setting that it resembles. ``own`` are those of the user's handlers."""
    known = {*_variables(), *own, variable("config")}
    return {
        name: _RENAMED.get(name) or next(iter(get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE)), None)
        for name, value in sorted(environ.items())
        if (name.startswith(PREFIX) or name.upper() in known)
        and value
        and name not in known
        and not _NOT_OURS.fullmatch(name)
    }


def unknown_keys(file: ConfigFile, own: Collection[Place] | None) -> Iterator[str]:
    """What is wrong with the tables and keys of ``file``.

    ``own`` are places in routes that the user's handlers read, such as ``("shop", "url")``. None: not known, so every table
    of a route is allowed.
    """
    tables: dict[str, Any] = schema()["properties"] if file.tables else {}
    for name, value in file.tables.items():
        if name not in tables:
            meant = _meant_at_the_top(name, value)
            what = "table" if isinstance(value, dict | list) and name != "topics" else "key"
            yield f"{file.where((name,))}: unknown {what} {plain(name)}.{meant}"
        elif name == ROUTE:
            yield from _of_routes(file, value, own)
        elif not isinstance(value, dict):
            yield f"{file.where((name,))}: expected [{name}] once, with keys below it"
        else:
            yield from _of_table(file, (name,), tables[name], own if name == PROCESSOR else ())


def _of_routes(file: ConfigFile, value: object, own: Collection[Place] | None) -> Iterator[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        yield f"{file.where((ROUTE,))}: expected [[{ROUTE}]], with two brackets, for each route"
        return
    for number in range(len(value)):
        yield from _of_table(file, (ROUTE, number), schema()["properties"][ROUTE]["items"], own)


def _of_table(file: ConfigFile, place: Place, known: Any, own: Collection[Place] | None) -> Iterator[str]:  # noqa: ANN401 - a part of the schema
    within: Any = file.value(place)
    keys: dict[str, Any] = known["properties"]
    for key, value in within.items():
        here = (*place, key)
        inside = tuple(one for one in place if isinstance(one, str))
        if key in keys and not keys[key].get(HANDLER):
            continue
        if key in keys and isinstance(value, dict):
            yield from _of_table(file, here, keys[key], ())
        elif key in keys:
            near = _near(key, [one for one in keys if one != key and not keys[one].get(HANDLER)])
            yield (
                f"{file.where(here)}: expected a table: [{'.'.join((*inside, key))}], or keys such as "
                f"{key}.{next(iter(keys[key]['properties']), 'url')}{near and '.'}{near}"
            )
        elif isinstance(value, dict) and own is None:
            continue
        elif isinstance(value, dict) and any(one[0] == key for one in own or ()):
            for inner in value:
                if (key, inner) not in (own or ()):
                    near = _near(inner, {str(one[1]) for one in own or () if one[0] == key and len(one) > 1})
                    yield f"{file.where((*here, inner))}: unknown key {plain(inner)} in [{'.'.join((*inside, key))}].{near}"
        elif (key,) not in (own or ()):
            what = "table" if isinstance(value, dict) else "key"
            yield (
                f"{file.where(here)}: unknown {what} {plain(key)} in {_bracketed(place)}."
                f"{_near(key.lower().removeprefix(PREFIX.lower()), keys, _ALIKE) or _of_handler(key, inside, within) or _elsewhere(key, inside) or _near(key, keys)}"
            )


def _bracketed(place: Place) -> str:
    name = ".".join(one for one in place if isinstance(one, str))
    return f"[[{name}]]" if place[0] == ROUTE and len(place) == 2 else f"[{name}]"


def _near(name: str, known: Collection[str], cutoff: float = _KEYS_ALIKE) -> str:
    usual = _USUAL.get(name)
    meant = [usual] if usual in known else get_close_matches(name, known, n=1, cutoff=cutoff)
    return f" Did you mean {meant[0]}?" if meant else ""


def _of_handler(key: str, inside: tuple[str, ...], within: Mapping[str, Any]) -> str:
    """The key of a handler in a route or in [processor] that was written as the name of its variable, or without the handler."""
    if inside not in ((ROUTE,), (PROCESSOR,)):
        return ""
    name = f"{PREFIX}{key.upper().removeprefix(PREFIX)}"
    for table, known in _tables():
        for one, about in known["properties"].items():
            if table[0] == PROCESSOR and len(table) > 1 and about.get(VARIABLE) == name:
                return f" Did you mean {'.'.join((*table[1:], one))}?"
    handler = schema()["properties"][PROCESSOR]["properties"].get(str(within.get("handler")), {})
    return f" Did you mean {within['handler']}.{key}?" if key in handler.get("properties", ()) else ""


def _meant_at_the_top(name: str, value: object) -> str:
    """What a table or key that is in no table was probably meant to be."""
    handler = schema()["properties"][PROCESSOR]["properties"].get(name, {})
    if handler.get(HANDLER):
        return (
            f" Did you mean [processor.{name}], or in a route keys such as {name}.{next(iter(handler['properties']))}?"
        )
    near = get_close_matches(name, schema()["properties"], n=1, cutoff=_KEYS_ALIKE)
    if near and isinstance(value, dict | list):
        return f" Did you mean {_bracketed((near[0], 0)) if near[0] == ROUTE else f'[{near[0]}]'}?"
    return _elsewhere(name, ())


def _elsewhere(key: str, inside: tuple[str, ...]) -> str:
    """Where a key is known that was written into another table, or as the name of its variable."""
    name = f"{PREFIX}{key.upper().removeprefix(PREFIX)}"
    keys = [
        (table, one, about.get(VARIABLE)) for table, known in _tables() for one, about in known["properties"].items()
    ]
    found = [(table, one) for table, one, _ in keys if one == key and table != inside]
    found += [(table, one) for table, one, its in keys if its == name]
    return f" Did you mean {found[0][1]} in [{'.'.join(found[0][0])}]?" if found else ""


def _tables() -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every table of the schema but routes, which have the keys of [processor]."""
    for name, table in schema()["properties"].items():
        if name != ROUTE:
            yield (name,), table
            for key, one in table["properties"].items():
                if one.get(HANDLER):
                    yield (name, key), one


@cache
def _variables() -> frozenset[str]:
    return frozenset(one[VARIABLE] for _, table in _tables() for one in table["properties"].values() if VARIABLE in one)
