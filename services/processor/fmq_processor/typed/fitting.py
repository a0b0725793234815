"""From a decoded payload to a value of the handler's type, or to the reason why it does not fit, in words."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from fmq.errors import HandlerError
from fmq.text import plain
from fmq_processor.prepare.decoding import NONE

_MOST_FAULTS = 3
_MOST_COUNTED = 1_000
"""Pydantic lists all faults or none, at a kilobyte each: a hostile payload may have millions."""
_SHOWN = 100
_NOT_A = {
    "bool": "true or false",
    "bytes": "bytes",
    "complex": "a number",
    "dataclass": "an object",
    "date": "a date",
    "datetime": "a date and time",
    "decimal": "a number",
    "dict": "an object",
    "float": "a number",
    "frozen_set": "a list",
    "int": "a whole number",
    "list": "a list",
    "mapping": "an object",
    "model": "an object",
    "set": "a list",
    "string": "a text",
    "time": "a time",
    "time_delta": "a duration",
    "tuple": "a list",
    "uuid": "a UUID",
}
"""By the first words of pydantic's error types, such as ``float_parsing``."""
_FORMAT = ("attributes", "class", "from", "object", "parsing", "sub", "type")
"""The word that follows if the value is of another type or format, and not only out of bounds."""


class Misfit(Exception):
    """A payload that does not fit. The text names the fields, never the whole payload."""


def fitting(name: str, wanted: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - any type
    """A function from a decoded payload to a value of the type ``wanted``, which raises Misfit.

    Exceptions of the user's own validators, except ValueError and AssertionError, are passed on. Raises HandlerError if
    ``wanted`` can't be the type of a payload of the handler ``name``.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        adapter.rebuild(raise_errors=True)
    except PydanticSchemaGenerationError as error:
        raise HandlerError(
            f"the handler {name!r} can't take payloads as {_called(wanted)}: pydantic does not know how to make one. If the parameter "
            "takes what setup() made, give it the type that setup() says it returns"
        ) from error
    except Exception as error:  # pydantic's own, and what a user's annotations raise
        why = plain(str(error).partition("\n")[0])
        raise HandlerError(f"the handler {name!r} can't take payloads as {_called(wanted)}: {why}") from error
    validate = adapter.validate_python

    def fit(body: Any) -> Any:  # noqa: ANN401 - what was decoded, and a value of any type
        try:
            return validate(body)
        except ValidationError as error:
            raise Misfit(_in_words(error)) from None

    return fit


def implied_decoding(wanted: Any) -> str:  # noqa: ANN401 - any type
    """How to decode payloads for this type if FMQ_DECODE=none: bytes as they are, str as text, others as JSON."""
    if wanted is bytes:
        return NONE
    return "text" if wanted is str else "json"


def _in_words(error: ValidationError) -> str:
    if error.error_count() > _MOST_COUNTED:
        return f"body: {error.error_count():,} faults in its fields"
    faults = error.errors(include_url=False, include_input=False)
    named = [f"{_place(one['loc'])}: {_why(one)}" for one in faults[:_MOST_FAULTS]]
    more = len(faults) - len(named)
    return "; ".join([*named, *([f"and {more} more"] if more else [])])


def _place(location: Sequence[int | str]) -> str:
    """``body.readings[0].temperature``. Names may come from the payload, so they are shortened and made harmless."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return _short(f"body{path}", end=_SHOWN // 3)


def _why(fault: ErrorDetails) -> str:
    kind, message = fault["type"], fault["msg"]
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return "not an expected field"
    if kind.startswith("recursion_"):
        return "nested too deeply"
    found = next((one for one in sorted(_NOT_A, key=len, reverse=True) if kind.startswith(f"{one}_")), None)
    if found and kind.removeprefix(f"{found}_").partition("_")[0] in _FORMAT:
        return f"not {_NOT_A[found]}"
    for beginning in ("Value error, ", "Assertion failed, ", "Input "):
        message = message.removeprefix(beginning)
    return _short(message)


def _short(text: str, *, end: int = 0) -> str:
    """At most _SHOWN characters of ``text``, and of those the last ``end``."""
    text = plain(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - end - 1]}…{text[len(text) - end :]}"


def _called(wanted: Any) -> str:  # noqa: ANN401 - any type
    return wanted.__name__ if isinstance(wanted, type) else str(wanted)
