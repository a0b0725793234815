"""What the settings of everything installed come to, and which variables are none of them.

Each service names its settings by the entry-point group ``fmq.settings``. Handlers' settings come from the group
``fmq.handler_settings``: functions that give, for an environment, those of all handlers that are known there, by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TypeVar

from pydantic.fields import FieldInfo

from fmq.errors import SettingsError
from fmq.settings import PREFIX, SettingsModel, is_secret, load, show, variable

_S = TypeVar("_S", bound=SettingsModel)
_SERVICES = {"listener", "processor"}
_ALIKE = 0.85
_ANY_TOPIC = ("#",)
# What Kubernetes sets for a Service called fmq (kubernetes.io, "Environment variables" of Services).
_OF_KUBERNETES = re.compile(r"FMQ_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting as it is in force: ``value`` as it may be shown, and where it comes from."""

    name: str
    value: str | None
    origin: str


def services() -> dict[str, type[SettingsModel]]:
    """The settings of each service that is installed, by its name."""
    return {entry.name: entry.load() for entry in sorted(entry_points(group="fmq.settings"), key=lambda one: one.name)}


def handlers(environ: Mapping[str, str]) -> dict[str, type[SettingsModel]]:
    """The settings of each handler that has some, by its name."""
    return {
        name: model
        for entry in entry_points(group="fmq.handler_settings")
        for name, model in entry.load()(environ).items()
    }


def in_use(environ: Mapping[str, str]) -> dict[str, type[SettingsModel]]:
    """The settings of what runs in ``environ``: the services, and the handler that was chosen."""
    chosen = environ.get("FMQ_HANDLER", "")
    return services() | {f"handler {name}": model for name, model in handlers(environ).items() if name == chosen}


def read(model: type[_S], environ: Mapping[str, str]) -> _S:
    """The settings in ``environ``, without what may be missing there. Raises SettingsError.

    Topic filters may be given as arguments of a command: that there are none is no mistake, and reads as ``#``.
    """
    flags = {} if "topics" not in model.model_fields or environ.get(variable("topics")) else {"topics": _ANY_TOPIC}
    return load(model, flags, environ)


def check(model: type[SettingsModel], environ: Mapping[str, str]) -> str | None:
    """What is wrong with the settings of ``model`` in ``environ``, or None."""
    try:
        read(model, environ)
    except SettingsError as error:
        return str(error)
    return None


def effective(model: type[SettingsModel], environ: Mapping[str, str]) -> list[Effective]:
    """Each setting of ``model`` as ``environ`` gives it, right or wrong."""
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
    """The FMQ_ variables that are no setting, each with the one that may have been meant.

    Where a service is not installed, its settings are not known: then only those that look like a known one.
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
