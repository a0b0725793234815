"""Reads settings from flags and the environment, and reports all problems in one error."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from pydantic import SecretStr, ValidationError

from fmq.errors import SettingsError
from fmq.service.secret import SecretFile
from fmq.service.settings import PREFIX, SettingsModel, expected_value, is_secret, show, variable
from fmq.text import plain, without_password

_BOM = "\ufeff"
Arguments = Mapping[str, str] | None
_S = TypeVar("_S", bound=SettingsModel)


def load(model: type[_S], flags: Mapping[str, object], environ: Mapping[str, str], arguments: Arguments = None) -> _S:
    """Read ``model`` from flags (by field name; None is not given) and the environment.

    ``arguments`` maps flags that came as arguments of the command to their names in its help.
    Raises SettingsError, which lists every invalid setting with its name, its value unless it is a secret, and what is
    expected.
    """
    reading = Reading(flags, environ, arguments)
    settings = reading.read(model)
    if settings is None or reading.problems:
        raise reading.error()
    return settings


def settings_error(problems: Sequence[str]) -> SettingsError:
    """All problems in one error, one per line."""
    return SettingsError("\n".join(["Invalid settings:", *(f"  {problem}" for problem in dict.fromkeys(problems))]))


class Reading:
    """Reads several models from the same flags and environment, and collects all problems."""

    def __init__(self, flags: Mapping[str, object], environ: Mapping[str, str], arguments: Arguments = None) -> None:
        self._arguments = arguments or {}
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._environ = environ
        self._read: set[str] = set()
        self.problems: list[str] = list(_broken_names(environ))

    def error(self) -> SettingsError:
        """All problems in one error."""
        return settings_error(self.problems)

    def given(self, name: str) -> object:
        """The raw value of the field ``name``; None if there is none."""
        return self._flags.get(name) or self._environ.get(variable(name)) or None

    def read(self, model: type[_S]) -> _S | None:
        """Read ``model``. Returns None if it is invalid; ``problems`` then says why."""
        values: dict[str, object] = {}
        shown: dict[str, str] = {}
        problems = [
            f"{variable(name)} names two settings. The settings of a handler start with the handler's name"
            for name in model.model_fields
            if name in self._read
        ]
        for name, field in model.model_fields.items():
            key = variable(name)
            if name in self._flags:
                values[name], shown[name] = self._flags[name], self._called(name)
            elif self._environ.get(key, "") != "":
                values[name], shown[name] = self._environ[key], key
                if why := _broken_value(self._environ[key], is_secret=is_secret(field)):
                    problems.append(f"{key} {why}")
                    del values[name]
            elif is_secret(field) and self._environ.get(f"{key}_FILE", "") != "":
                path, shown[name] = self._environ[f"{key}_FILE"], f"{key}_FILE"
                try:
                    values[name] = SecretFile(path, f"{key}_FILE", partial(_check_again, model, values, name))
                except (OSError, ValueError) as error:
                    problems.append(
                        f"{key}_FILE={path!r}: can't be read ({getattr(error, 'strerror', None) or error}); expected the path of a text file with the secret"
                    )
        settings: _S | None = None
        try:
            settings = model.model_validate(values)
        except ValidationError as error:
            problems += [_explain(cast("dict[str, Any]", one), model, values, shown) for one in error.errors()]
        self._read |= set(model.model_fields)
        self.problems += problems
        return None if problems else settings

    def refuse_other_flags(self, why: str) -> None:
        """Report every flag that no model has read as a problem."""
        for name, value in self._flags.items():
            if name not in self._read:
                self.problems.append(f"{self._called(name)}={without_password(repr(value))}: {why}")

    def _called(self, name: str) -> str:
        return self._arguments.get(name) or f"--{name.replace('_', '-')}"


def _check_again(model: type[SettingsModel], values: Mapping[str, object], name: str, text: str) -> None:
    """Check a new value of a secret as at the start. Raises ValueError, without the value."""
    others = {one: value.last if isinstance(value, SecretFile) else value for one, value in values.items()}
    try:
        model.model_validate({**others, name: SecretStr(text)})
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None


def _broken_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables of fmq whose names a damaged environment file has changed."""
    for name in environ:
        if not name.startswith(PREFIX) and name.strip(f"{_BOM}'\" \t\r").startswith(PREFIX):
            first = next(one for one in name if not one.isalnum())
            yield (
                f"The variable {plain(name)} has no effect: {_named(first)} comes before its name; remove it from the "
                "environment file"
            )


def _broken_value(value: str, *, is_secret: bool) -> str | None:
    """What an environment file has added to a value by mistake: Docker and systemd take lines as they are."""
    if "\r" in value:
        return (
            f"has {_named(chr(13))} in its value: the environment file has Windows line ends; convert it with: "
            "sed -i 's/\\r$//' FILE"
        )
    if value.startswith(_BOM):
        return f"begins with {_named(_BOM)}; save the environment file without it"
    if not is_secret and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return f"has {_named(value[0])} at both ends of its value: docker --env-file keeps quotes; remove them"
    return None


def _named(character: str) -> str:
    """A character's usual name."""
    known = {"\r": "a carriage return", _BOM: "a byte order mark", '"': "a double quote", "'": "a single quote"}
    return f"{known.get(character, 'a character')} (U+{ord(character):04X})"


def _explain(
    error: dict[str, Any], model: type[SettingsModel], values: Mapping[str, object], shown: Mapping[str, str]
) -> str:
    message = str(error["msg"])
    why = message.removeprefix("Value error, ")
    name = str(error["loc"][0]) if error["loc"] else ""
    if name not in model.model_fields:
        return why
    field = model.model_fields[name]
    if error["type"] == "missing":
        return f"{variable(name)} is not set: expected {expected_value(field)}"
    given = values.get(name, field.default)
    value = show(field, repr(",".join(map(str, given)) if isinstance(given, tuple) else given))
    ours = f"{why}; " if why != message else ""  # pydantic's own message adds nothing to what is expected
    return f"{shown.get(name, variable(name))}={value}: {ours}expected {expected_value(field)}"
