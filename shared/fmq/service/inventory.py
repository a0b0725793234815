"""The effective settings of everything that is installed.

Services register their settings in the entry-point group ``fmq.settings``, and in ``fmq.settings_checks`` a function that
raises SettingsError for an environment that they reject, if there is more to it than these settings. The group
``fmq.handler_settings`` holds functions that return, for references of handlers, the settings of all handlers known there and
of these, by name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypeVar

from pydantic.fields import FieldInfo

from fmq.errors import SettingsError
from fmq.service.config.file import as_given
from fmq.service.config.places import PROCESSOR, ROUTE, home, places, usual_name
from fmq.service.environment import Reading, load
from fmq.service.settings import SettingsModel, is_secret, show, show_number

_S = TypeVar("_S", bound=SettingsModel)
_ANY_TOPIC = ("#",)
_LOG = "log"


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that are shown together: of a service, of the chosen handler, or of a route of the configuration file."""

    name: str
    models: tuple[type[SettingsModel], ...]
    route: int | None = None


@dataclass(frozen=True, slots=True)
class Effective:
    """An effective setting: its value, without secrets, and where it comes from."""

    name: str
    value: str | None
    origin: str


def services() -> dict[str, type[SettingsModel]]:
    """The settings of each installed service, by name."""
    return {entry.name: entry.load() for entry in sorted(entry_points(group="fmq.settings"), key=lambda one: one.name)}


def handlers(references: Collection[str]) -> dict[str, type[SettingsModel]]:
    """The settings of each handler that has some, by name; of the user's own, those that ``references`` name."""
    return {
        name: model
        for entry in entry_points(group="fmq.handler_settings")
        for name, model in entry.load()(references).items()
    }


def in_use(reading: Reading) -> dict[str, Section]:
    """The settings in use, by name: those of the services, and of the chosen handler or of each route."""
    found = {name: Section(name, (model,)) for name, model in services().items()}
    processor = services().get(PROCESSOR)
    if processor is None:
        return found
    numbers: Iterable[int | None] = range(len(reading.file.routes)) if reading.file.routes else (None,)
    chosen = {number: _handler(reading, processor, number) for number in numbers}
    known = handlers(chosen.values())
    for number, handler in chosen.items():
        models = (known[handler],) if handler in known else ()
        if number is not None:
            name = f"route {_route_name(reading, number, handler)}"
            found[name] = Section(name, (processor, *models), number)
        elif models:
            found[f"handler {handler}"] = Section(f"handler {handler}", models)
    return found


def _handler(reading: Reading, processor: type[SettingsModel], route: int | None) -> str:
    source = reading.source(processor, "handler", route)
    return str(source.value) if source else _LOG


def _route_name(reading: Reading, number: int, handler: str) -> str:
    given = {key: reading.file.value((ROUTE, number, key)) for key in ("name", "topics", "queues")}
    filters = as_given(given["topics"] or given["queues"] or [])
    return str(given["name"] or usual_name(handler, filters if isinstance(filters, tuple) else [filters]))


def read(model: type[_S], environ: Mapping[str, str], *, strict: bool = False) -> _S:
    """The settings in ``environ``. ``strict`` is that of ``load``. Raises SettingsError.

    Topic filters may come as arguments of a command, so missing ones are allowed and read as ``#``.
    """
    are_given = "topics" not in model.model_fields or Reading({}, environ).source(model, "topics")
    return load(model, {} if are_given else {"topics": _ANY_TOPIC}, environ, strict=strict)


def check(model: type[SettingsModel], environ: Mapping[str, str]) -> str | None:
    """The problems of the settings of ``model`` in ``environ``, unknown variables included, or None."""
    try:
        read(model, environ, strict=True)
    except SettingsError as error:
        return str(error)
    return None


def problems(name: str, model: type[SettingsModel], environ: Mapping[str, str]) -> list[str]:
    """What the service ``name`` rejects in ``environ``, one problem per line."""
    checks = {entry.name: entry for entry in entry_points(group="fmq.settings_checks")}
    try:
        if name in checks:
            checks[name].load()(environ)
        else:
            read(model, environ, strict=True)
    except SettingsError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


def effective(section: Section, reading: Reading) -> list[Effective]:
    """Each setting of ``section``, valid or not; of a route, those that it can have for itself, by their keys."""
    return list(_effective(section, reading))


def _effective(section: Section, reading: Reading) -> Iterator[Effective]:
    if section.route is not None:
        topics = (ROUTE, section.route, "topics")
        value = reading.file.value(topics)
        yield Effective(
            "topics", _text(as_given(value or [])) or None, reading.file.where(topics) if value else "default"
        )
    for model in section.models:
        for name, field in model.model_fields.items():
            shown = name
            if section.route is not None:
                if next(places(model, name, section.route), ("",))[0] != ROUTE:
                    continue
                place = home(model, name) or ()
                shown = ".".join(str(one) for one in place if one != PROCESSOR)
            source = reading.source(model, name, section.route)
            if name == "config" and source is None and reading.file.name:
                yield Effective(name, reading.file.name, "working directory")
            elif source is None:
                yield Effective(shown, _default(field), "default")
            elif source.is_path:
                separator = "=" if source.place is None else " "
                yield Effective(shown, show(field, ""), f"{source.origin}{separator}{source.value}")
            else:
                yield Effective(shown, show(field, show_number(field, _text(source.value))), source.origin)


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _default(field: FieldInfo) -> str | None:
    if field.is_required() or is_secret(field):
        return None
    match field.default:
        case None | ():
            return None
        case bool() as value:
            return str(value).lower()
        case tuple() as value:
            return _text(value)
        case value:
            return show_number(field, str(value))
