"""What is wrong with a value or a variable, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from fmq.quantities import hint
from fmq.service.log import shorten
from fmq.service.settings import PREFIX, SettingsModel, detail, expected_value, is_list, show, variable
from fmq.text import plain

_BOM = "\ufeff"


def broken_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables of fmq whose names a damaged environment file has changed."""
    for name in environ:
        if not name.startswith(PREFIX) and name.strip(f"{_BOM}'\" \t\r").startswith(PREFIX):
            first = next(one for one in name if not one.isalnum())
            yield (
                f"The variable {plain(name)} has no effect: {_named(first)} comes before its name; remove it from the "
                "environment file"
            )


def broken_value(value: str, *, is_secret: bool) -> str | None:
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


def wrong_kind(field: FieldInfo, called: str, value: object) -> str | None:
    """What is wrong with a value of ``field`` that the setting ``called`` has: a table, or a list with something else than text.

    ``value`` is as the file, a variable or a flag gives it.
    """
    why = "it is a table" if isinstance(value, dict) else _wrong_list(field, value) if is_list(field) else None
    return f"{called}={_shown(field, value)}: {why}; expected {expected_value(field)}" if why else None


def _wrong_list(field: FieldInfo, value: object) -> str | None:
    texts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    other = next((one for one in texts if not isinstance(one, str)), None)
    if other is not None:
        return f"{shorten(repr(other))} is not a text in quotes"
    if detail(field, "never_empty") and not any(map(str.strip, texts)):
        return "it names nothing"
    return "it has an empty text" if not isinstance(value, str) and not all(map(str.strip, texts)) else None


def _shown(field: FieldInfo, value: object) -> str:
    return shorten(show(field, repr(value)))


def _named(character: str) -> str:
    """A character's usual name."""
    known = {"\r": "a carriage return", _BOM: "a byte order mark", '"': "a double quote", "'": "a single quote"}
    return f"{known.get(character, 'a character')} (U+{ord(character):04X})"


def explain(
    error: Mapping[str, Any], model: type[SettingsModel], values: Mapping[str, object], called: Mapping[str, str]
) -> str:
    """An error of pydantic. ``called`` says for each given value what it came from."""
    message = str(error["msg"])
    why = message.removeprefix("Value error, ")
    name = str(error["loc"][0]) if error["loc"] else ""
    if name not in model.model_fields:
        return why
    field = model.model_fields[name]
    if error["type"] == "missing":
        return f"{called.get(name, variable(name))} is not set: expected {expected_value(field)}"
    given = values.get(name, field.default)
    value = _shown(field, ",".join(map(str, given)) if isinstance(given, tuple) else given)
    ours = f"{why}; " if why != message else ""  # pydantic's own message adds nothing to what is expected
    unit = detail(field, "unit")
    advice = hint(given, unit) if unit and isinstance(given, str) else ""
    return f"{called.get(name, variable(name))}={value}: {ours}expected {expected_value(field)}{advice and '.'}{advice}"
