"""The effective settings of everything that is installed, and unknown variables.

Services register their settings in the entry-point group ``fmq.settings``. The group ``fmq.handler_settings`` holds functions
that return, for an environment, the settings of all handlers known there, by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TypeVar

from pydantic.fields import FieldInfo

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq.service.settings import PREFIX, SettingsModel, is_secret, show, variable

_S = TypeVar("_S", bound=SettingsModel)
_SERVICES = {"listener", "processor", "web"}
_ALIKE = 0.85
_ANY_TOPIC = ("#",)
# What Kubernetes sets for a Service called fmq (kubernetes.io, "Environment variables" of Services).
_OF_KUBERNETES = re.compile(r"FMQ_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")


@dataclass(frozen=True, slots=True)
class Effective:
    """An effective setting: its value, without secrets, and where it comes from."""

    name: str
    value: str | None
    origin: str


def services() -> dict[str, type[SettingsModel]]:
    """The settings of each installed service, by name."""
    return {entry.name: entry.load() for entry in sorted(entry_points(group="fmq.settings"), key=lambda one: one.name)}


def handlers(environ: Mapping[str, str]) -> dict[str, type[SettingsModel]]:
    """The settings of each handler that has some, by name."""
    return {
        name: model
        for entry in entry_points(group="fmq.handler_settings")
        for name, model in entry.load()(environ).items()
    }


def in_use(environ: Mapping[str, str]) -> dict[str, type[SettingsModel]]:
    """The settings that ``environ`` uses: those of the services and of the chosen handler."""
    chosen = environ.get("FMQ_HANDLER", "")
    return services() | {f"handler {name}": model for name, model in handlers(environ).items() if name == chosen}


def read(model: type[_S], environ: Mapping[str, str]) -> _S:
    """The settings in ``environ``. Raises SettingsError.

    Topic filters may come as arguments of a command, so missing ones are allowed and read as ``#``.
    """
    flags = {} if "topics" not in model.model_fields or environ.get(variable("topics")) else {"topics": _ANY_TOPIC}
    return load(model, flags, environ)


def check(model: type[SettingsModel], environ: Mapping[str, str]) -> str | None:
    """The problems of the settings of ``model`` in ``environ``, or None."""
    try:
        read(model, environ)
    except SettingsError as error:
        return str(error)
    return None


def effective(model: type[SettingsModel], environ: Mapping[str, str]) -> list[Effective]:
    """Each setting of ``model`` in ``environ``, valid or not."""
    return [_effective(name, field, environ) for name, field in model.model_fields.items()]


def _effective(name: str, field: FieldInfo, environ: Mapping[str, str]) -> Effective:
    key = variable(name)
    if environ.get(key, "") != "":
        return Effective(name, show(field, environ[key]), key)
    if is_secret(field) and environ.get(f"{key}_FILE", "") != "":
        return Effective(name, show(field, ""), f"{key}_FILE={environ[f'{key}_FILE']}")
    return Effective(name, _default(field), "default")


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    match field.default:
        case None | ():
            return None
        case bool() as value:
            return str(value).lower()
        case value:
            return str(value)


def strangers(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Unknown FMQ_ variables, each with the setting that it resembles.

    If a service is not installed, its settings are unknown: then only variables that resemble a known setting.
    """
    installed = services()
    fields = {
        name: field
        for model in (*installed.values(), *handlers(environ).values())
        for name, field in model.model_fields.items()
    }
    known = {variable(name) for name in fields} | {
        f"{variable(name)}_FILE" for name in fields if is_secret(fields[name])
    }
    found = {
        name: next(iter(get_close_matches(name, known, n=1, cutoff=_ALIKE)), None)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX) and value and name not in known and not _OF_KUBERNETES.fullmatch(name)
    }
    everything = installed.keys() >= _SERVICES
    return {name: meant for name, meant in found.items() if everything or meant}
