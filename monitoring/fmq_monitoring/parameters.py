"""The parameters of rules and dashboards, read from a TOML file."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = r"([1-9]\d*)([smhd])"
_SEVERITIES = ("critical", "warning", "info", "none")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RUNBOOKS = re.compile(r"[\w./~][^\s\"'`@{}$\\]*")
_ODD = re.compile("[@}\x7f-\xa0\u2028\u2029\ufeff]|(?<=\\s)#|:(?=\\s)")
SERVICES = ("listener", "processor")


class WrongParametersError(Exception):
    """All that is wrong with a file of parameters, one problem per line."""


def seconds(duration: str) -> int:
    """The seconds of ``15m``. Raises ValueError for anything but a whole number with s, m, h or d."""
    found = re.fullmatch(_DURATION, duration)
    if not found:
        raise ValueError(duration)
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From when an alert fires: durations as Prometheus writes them, sizes in bytes, shares from 0 to 1."""

    age: str = "15m"
    depth: int = 100_000
    predicted_depth: int = 1_000_000
    failing: float = 0.5
    free_disk: int = 512 * 1024 * 1024
    wal: int = 1024 * 1024 * 1024
    replication_lag: int = 256 * 1024 * 1024
    file_descriptors: float = 0.8
    certificate: str = "14d"
    versions_differ: str = "1h"


@dataclass(frozen=True, kw_only=True)
class QueueParameters:
    """What differs for one queue. None: as for every queue."""

    age: str | None = None
    depth: int | None = None
    predicted_depth: int | None = None
    failing: float | None = None
    severity: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExpectedStore:
    """A store that has to be there, known by labels of its targets, and how many of each service it has at least."""

    labels: dict[str, str]
    listener: int = 1
    processor: int = 1


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Everything that a file of parameters can say."""

    store_labels: tuple[str, ...] = ("namespace", "installation", "pod")
    installation_labels: tuple[str, ...] = ("namespace", "installation")
    jobs: str = ".*fmq.*"
    runbooks: str = "docs/runbooks"
    expected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 1))
    thresholds: Thresholds = field(default_factory=Thresholds)
    severity: dict[str, str] = field(default_factory=dict)
    queues: dict[str, QueueParameters] = field(default_factory=dict)
    stores: tuple[ExpectedStore, ...] = ()


def quoted(text: str) -> str:
    """A text of PromQL that YAML, the marks of the templates and what tidies them leave alone, wherever it stands."""
    return _ODD.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(text, ensure_ascii=False))


def read(path: Path) -> Parameters:
    """The parameters of a file. Raises WrongParametersError with all its problems, and OSError."""
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongParametersError(f"not TOML: {error}") from error


def parse(document: Mapping[str, Any]) -> Parameters:
    """Raises WrongParametersError with everything that is wrong."""
    problems: list[str] = []
    given = _checked(Parameters, document, "", problems)
    given["thresholds"] = Thresholds(**_checked(Thresholds, given.get("thresholds", {}), "thresholds.", problems))
    given["queues"] = {
        name: QueueParameters(**_checked(QueueParameters, of_queue, f'queues."{name}".', problems))
        for name, of_queue in given.get("queues", {}).items()
    }
    given["stores"] = tuple(_store(number, one, problems) for number, one in enumerate(given.get("stores", ()), 1))
    expected = given.get("expected", {})
    problems += [
        f"expected.{name}: unknown; expected {' or '.join(SERVICES)}" for name in expected.keys() - {*SERVICES}
    ]
    problems += [
        f"expected.{name} = {value!r}: expected a whole number from 0"
        for name, value in expected.items()
        if not _is_count(value)
    ]
    given["expected"] = {**dict.fromkeys(SERVICES, 1), **expected}
    problems += [
        f"severity.{name} = {value!r}: expected {', '.join(_SEVERITIES)}"
        for name, value in given.get("severity", {}).items()
        if value not in _SEVERITIES
    ]
    parameters = Parameters(**given) if not problems else Parameters()
    if not {*parameters.installation_labels} <= {*parameters.store_labels}:
        problems.append("installation_labels: expected some of store_labels")
    if problems:
        raise WrongParametersError("\n".join(problems))
    return parameters


def _store(number: int, given: object, problems: list[str]) -> ExpectedStore:
    checked = _checked(ExpectedStore, given if isinstance(given, dict) else {}, f"stores[{number}].", problems)
    if not checked.get("labels"):
        problems.append(f"stores[{number}].labels: expected at least one label of the store's targets")
    return ExpectedStore(**{"labels": {}, **checked})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _is_duration(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(_DURATION, value) is not None


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _are_labels(value: object) -> bool:
    if not isinstance(value, list) or not all(isinstance(one, str) and _LABEL.fullmatch(one) for one in value):
        return False
    return 0 < len(value) == len({*value})


def _are_matchers(value: object) -> bool:
    return isinstance(value, dict) and all(
        _LABEL.fullmatch(name) and isinstance(one, str) for name, one in value.items()
    )


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and value != "" and re.compile(value) is not None
    except re.error:
        return False


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _RUNBOOKS.fullmatch(value) is not None


def _is_severity(value: object) -> bool:
    return value in _SEVERITIES


_Check = tuple[Callable[[object], bool], str]
_COUNT: _Check = (_is_count, "a whole number from 0")
_SHARE: _Check = (_is_share, "a share above 0, at most 1")
_TIME: _Check = (_is_duration, "a duration such as 15m, 1h or 14d")
_TABLE: _Check = (_is_table, "a table")
_LABELS: _Check = (_are_labels, "a list of names of labels, at least one, each once")
_CHECKS: dict[str, _Check] = {
    **dict.fromkeys(("age", "certificate", "versions_differ"), _TIME),
    **dict.fromkeys(("failing", "file_descriptors"), _SHARE),
    **dict.fromkeys(("store_labels", "installation_labels"), _LABELS),
    "jobs": (_is_pattern, "a regular expression"),
    "runbooks": (_is_address, "a folder or an address, without spaces, quotes and any of @ { } $"),
    "labels": (_are_matchers, 'a table of labels and their values, such as {namespace = "plant-a"}'),
    **dict.fromkeys(("expected", "thresholds", "queues", "Parameters.severity"), _TABLE),
    "stores": (_is_list, "a list of tables, [[stores]]"),
    "severity": (_is_severity, ", ".join(_SEVERITIES)),
}
"""What a value has to be, by its name; those that are not here are counts."""


def _checked(kind: type[Any], given: object, place: str, problems: list[str]) -> dict[str, Any]:
    """What is given, if its names and values are right for a dataclass; appends what is wrong."""
    if not isinstance(given, Mapping):
        problems.append(f"{place.rstrip('.')} = {given!r}: expected a table")
        return {}
    known = [one.name for one in fields(kind)]
    found: dict[str, Any] = {}
    for name, value in given.items():
        is_right, wanted = _CHECKS.get(f"{kind.__name__}.{name}") or _CHECKS.get(name, _COUNT)
        if name not in known:
            problems.append(f"{place}{name}: unknown; expected {', '.join(known)}")
        elif not is_right(value):
            problems.append(f"{place}{name} = {value!r}: expected {wanted}")
        else:
            found[name] = tuple(value) if isinstance(value, list) else value
    return found
