"""On which line of a TOML text each value stands. TOML readers do not tell, so each statement is read on its own."""

import tomllib
from collections.abc import Iterator, Mapping

from fmq.service.config.places import Place

_ENDS = ("]", "}", '"""', "'''")


def find_lines(text: str) -> dict[Place, int]:
    """The line of each table and value of a valid TOML text, counted from 1."""
    found: dict[Place, int] = {}
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, is_header, statement in _statements(text):
        path, value = _path(statement)
        if is_header:
            table = _numbered(path, counts)
            if isinstance(value, list):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            found.setdefault(table, number)
            for length in range(1, len(table)):
                found.setdefault(table[:length], number)
        else:
            for inner in _all(statement, ()):
                found.setdefault((*table, *inner), number)
    return found


def _statements(text: str) -> Iterator[tuple[int, bool, dict[str, object]]]:
    """Each statement with its first line, and whether it is the header of a table."""
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        if not lines[start].strip() or lines[start].lstrip().startswith("#"):
            start += 1
            continue
        end = start + 1
        while (read := _read("\n".join(lines[start:end]))) is None and end < len(lines):
            end += 1
            while end < len(lines) and not any(one in lines[end - 1] for one in _ENDS):
                end += 1
        yield start + 1, lines[start].lstrip().startswith("["), read or {}
        start = end


def _read(statement: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(statement)
    except ValueError:
        return None


def _path(read: Mapping[str, object]) -> tuple[Place, object]:
    """The keys of a statement that has one key on each level, and what they lead to."""
    path: list[str] = []
    value: object = read
    while isinstance(value, Mapping) and len(value) == 1:
        ((key, value),) = value.items()
        path.append(key)
    return tuple(path), value


def _numbered(path: Place, counts: Mapping[Place, int]) -> Place:
    """``path`` with the number of the last table of each array of tables on the way to its end."""
    found: Place = ()
    for key in path[:-1]:
        found = (*found, key)
        if found in counts:
            found = (*found, counts[found])
    return (*found, *path[-1:])


def _all(value: object, above: Place) -> Iterator[Place]:
    """The places of all values in ``value``, itself included."""
    if above:
        yield above
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _all(one, (*above, key))
