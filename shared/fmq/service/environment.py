"""Reads settings from flags, the environment and a configuration file, and reports all problems in one error."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from fmq.errors import SettingsError
from fmq.service.config.exposure import exposed
from fmq.service.config.file import ConfigFile, ConfigFileError, as_given, read_config
from fmq.service.config.mistakes import broken_names, broken_value, explain, wrong_kind
from fmq.service.config.places import PROCESSOR, ROUTE, Place, home, places
from fmq.service.config.queues import unfilled
from fmq.service.config.strangers import unknown_keys, unknown_variables
from fmq.service.secret import SecretFile
from fmq.service.settings import HandlerSettings, SettingsModel, is_secret, variable
from fmq.text import plain, without_long_words, without_password

Arguments = Mapping[str, str] | None
_S = TypeVar("_S", bound=SettingsModel)


def load(
    model: type[_S],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    arguments: Arguments = None,
    *,
    strict: bool = False,
) -> _S:
    """Read ``model`` from flags (by field name; None is not given), the environment and the configuration file.

    ``arguments`` maps flags that came as arguments of the command to their names in its help. ``strict`` refuses unknown
    variables of fmq too. Unknown keys of the file are always refused.
    Raises SettingsError, which lists every invalid setting with its name, its value unless it is a secret, and what is
    expected.
    """
    reading = Reading(flags, environ, arguments)
    settings = reading.read(model)
    reading.refuse_strangers(variables=strict)
    if settings is None or reading.problems:
        raise reading.error()
    return settings


def settings_error(problems: Sequence[str]) -> SettingsError:
    """All problems in one error, one per line."""
    lines = map(without_long_words, dict.fromkeys(problems))
    return SettingsError("\n".join(["Invalid settings:", *(f"  {line}" for line in lines)]))


@dataclass(frozen=True, slots=True)
class Source:
    """The value of a setting as it was given. ``origin`` is what gave it: a flag, a variable, or a file and a line."""

    value: object
    origin: str
    called: str
    """The setting's name there, for errors."""
    is_path: bool = False
    """Whether the value is the path of a file with the secret."""
    place: Place | None = None
    """Where it stands in the configuration file, if it does."""


class Reading:
    """Reads several models from the same flags, environment and file, and collects all problems.

    ``route`` in its methods is the number of a route of the file from 0; None: outside of routes.
    """

    def __init__(
        self,
        flags: Mapping[str, object],
        environ: Mapping[str, str],
        arguments: Arguments = None,
        *,
        file: ConfigFile | None = None,
    ) -> None:
        """With ``file``, no file is read."""
        self._arguments = arguments or {}
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._environ = environ
        self._read: dict[int | None, set[str]] = {}
        self._of_handlers: set[Place] = set()
        self.problems: list[str] = list(broken_names(environ))
        self.file = file or ConfigFile()
        self._is_complete = True
        if file is not None:
            return
        path = str(self._flags.get("config") or environ.get(variable("config"), ""))
        try:
            self.file = read_config(path, self._called("config") if "config" in self._flags else variable("config"))
        except ConfigFileError as error:
            self.problems.append(str(error))
            self._is_complete = False

    def error(self) -> SettingsError:
        """All problems in one error."""
        return settings_error(self.problems)

    def source(self, model: type[SettingsModel], name: str, route: int | None = None) -> Source | None:
        """What gives the field ``name`` its value; None: its default counts."""
        if name in self._flags:
            called = self._called(name)
            return Source(self._flags[name], called, called)
        secret = is_secret(model.model_fields[name])
        for key in (variable(name), *([f"{variable(name)}_FILE"] if secret else [])):
            if self._environ.get(key, "") != "":
                return Source(self._environ[key], key, key, is_path=key != variable(name))
        for place in places(model, name, route):
            for is_path in (False, True) if secret else (False,):
                at = (*place[:-1], f"{place[-1]}_file") if is_path else place
                value = self.file.value(at)
                if value is not None:
                    where = self.file.where(at)
                    return Source(as_given(value), where, f"{where}: {_key(at)}", is_path, at)
        return None

    def overridden(self, model: type[SettingsModel], name: str) -> Source | None:
        """A flag or variable that gives the field ``name`` its value, for all routes."""
        found = self.source(model, name)
        return found if found is not None and found.place is None else None

    def read(self, model: type[_S], route: int | None = None) -> _S | None:
        """Read ``model``. Returns None if it is invalid; ``problems`` then says why."""
        seen = self._read.setdefault(route, set())
        problems = [
            f"{variable(name)} names two settings. The settings of a handler start with the handler's name"
            for name in model.model_fields
            if name in seen
        ]
        values: dict[str, object] = {}
        called: dict[str, str] = {}
        for name in model.model_fields:
            source = self.source(model, name, route)
            if source is not None:
                called[name] = source.called
                problems += self._take(model, name, source, values)
        settings: _S | None = None
        try:
            settings = model.model_validate(values)
        except ValidationError as error:
            found = [cast("dict[str, Any]", one) for one in error.errors()]
            if not self._is_complete:  # what is missing may stand in the file
                found = [one for one in found if one["loc"] and one["loc"][0] in values]
            problems += [self._explain(one, model, values, called, route) for one in found]
        seen |= set(model.model_fields)
        if issubclass(model, HandlerSettings):
            self._of_handlers |= {
                place for name, field in model.model_fields.items() for place in _with_file(model, name, field)
            }
        self.problems += problems
        return None if problems else settings

    def _take(self, model: type[SettingsModel], name: str, source: Source, values: dict[str, object]) -> Sequence[str]:
        """Put the value of ``source`` into ``values``. Returns what is wrong with it."""
        secret = is_secret(model.model_fields[name])
        if source.is_path:
            try:
                values[name] = SecretFile(str(source.value), source.called, partial(_check_again, model, values, name))
            except (OSError, ValueError) as error:
                return [
                    f"{source.called}={source.value!r}: can't be read ({getattr(error, 'strerror', None) or error}); expected the path of a text file with the secret"
                ]
            return []
        why = broken_value(self._environ[source.origin], is_secret=secret) if source.origin in self._environ else None
        if why:
            return [f"{source.called} {why}"]
        given = source.value if source.place is None else self.file.value(source.place)
        if wrong := wrong_kind(model.model_fields[name], source.called, given):
            return [wrong]
        values[name] = source.value
        if source.place is not None and secret:
            at = (*source.place[:-1], f"{source.place[-1]}_file")
            if self.file.value(at) is not None:
                return [
                    f"{self.file.where(at)}: {_key(at)} and {_key(source.place)} are both given: expected one of them"
                ]
        return []

    def _explain(
        self,
        error: Mapping[str, Any],
        model: type[SettingsModel],
        values: Mapping[str, object],
        called: Mapping[str, str],
        route: int | None,
    ) -> str:
        name = str(error["loc"][0]) if error["loc"] else ""
        is_placed = name in called
        if error["type"] == "missing" and self.file.name and issubclass(model, HandlerSettings):
            called = {**called, name: f"{'.'.join(map(str, home(model, name) or ()))} ({variable(name)})"}
        text = explain(error, model, values, called)
        return text if route is None or is_placed else f"{self.file.where((ROUTE, route))}: {text}"

    def refuse_other_flags(self, why: str) -> None:
        """Report every flag that no model has read as a problem."""
        read = set().union(*self._read.values())
        for name, value in self._flags.items():
            if name not in read:
                self.problems.append(f"{self._called(name)}={without_password(repr(value))}: {why}")

    def refuse_strangers(self, *, variables: bool, handlers_are_known: bool = False) -> None:
        """Report unknown keys of the file and, with ``variables``, unknown variables of fmq as problems.

        ``handlers_are_known`` says that the settings of all handlers were read. Otherwise those of the user's own are unknown
        here, and what may be one of them is allowed.
        """
        known = handlers_are_known or not self._has_own_handler()
        self.problems += unknown_keys(self.file, self._of_handlers if known else None)
        if variables:
            own = {variable("_".join(map(str, place))) for place in self._of_handlers}
            for name, meant in unknown_variables(self._environ, own).items():
                if meant:
                    self.problems.append(f"Unknown setting {plain(name)}. Did you mean {meant}?")
                elif known and self._is_complete:
                    self.problems.append(f"Unknown setting {plain(name)}. {_NOBODY}")

    def remarks(self) -> list[str]:
        """What is unwise about the file, though it is valid."""
        return [*exposed(self.file), *unfilled(self.file)]

    def _has_own_handler(self) -> bool:
        """Whether a handler is named that is not built in."""
        named = [self._flags.get("handler"), self._environ.get("FMQ_HANDLER")]
        named += [self.file.value((PROCESSOR, "handler")), *(one.get("handler") for one in self.file.routes)]
        return any(":" in str(one) for one in named)

    def _called(self, name: str) -> str:
        return self._arguments.get(name) or f"--{name.replace('_', '-')}"


_NOBODY = "Nothing reads it: remove it. If your own handler reads it, name the handler in FMQ_HANDLER or in the configuration file"


def _key(place: Place) -> str:
    """The key of a place within its table."""
    return ".".join(str(one) for one in place[2 if place[0] == ROUTE else 1 :])


def _with_file(model: type[SettingsModel], name: str, field: FieldInfo) -> Collection[Place]:
    found = home(model, name) or ()
    return [found, (*found[:-1], f"{found[-1]}_file")] if is_secret(field) else [found]


def _check_again(model: type[SettingsModel], values: Mapping[str, object], name: str, text: str) -> None:
    """Check a new value of a secret as at the start. Raises ValueError, without the value."""
    others = {one: value.last if isinstance(value, SecretFile) else value for one, value in values.items()}
    try:
        model.model_validate({**others, name: SecretStr(text)})
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
