"""Settings: each defined once, read from flags and the environment, all errors told together.

A field ``lease_seconds`` is the variable ``FMQ_LEASE_SECONDS`` and the flag
``--lease-seconds``; a flag wins. A secret ``broker_password`` can also be given as the
path of a file in ``FMQ_BROKER_PASSWORD_FILE``, which is read again whenever the secret is asked for (``SecretFile``):
so ask for it where it is used, and keep no copy. A secret has no flag: other users of the machine would see it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from fmq.errors import SettingsError
from fmq.extras import only_if_installed
from fmq.queue import Durability, StoreOptions
from fmq.secret import SecretFile
from fmq.text import only_origin, plain, without_password

PREFIX = "FMQ_"
_BOM = "\ufeff"
Arguments = Mapping[str, str] | None
_S = TypeVar("_S", bound="SettingsModel")


def setting(
    default: Any,  # noqa: ANN401 - as pydantic's Field
    *,
    about: str,
    right: str,
    is_capability: bool = False,
    **limits: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """A field of a Settings class. ``about`` says what it is for, ``right`` what a good value looks like.

    A ``default`` of ``...``: the user has to give it. ``is_capability``: a URL whose path or query may be what gives access,
    so that no more than its origin is shown.
    """
    extra: dict[str, Any] = {"right": right, "is_capability": is_capability}
    return Field(default, description=about, json_schema_extra=extra, validate_default=True, **limits)


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Names with commas between."""


class SettingsModel(BaseModel):
    """What flags and variables are read into: every field is made with ``setting()``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HandlerSettings(SettingsModel):
    """The base of a handler's settings. The name of each field begins with the handler's."""

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - for those that override it
        """What is wrong with them beside the processor's: ``calls`` run at once, for ``seconds`` each (0: no limit)."""
        return ()

    def conflicts(self, *, queue_url: str, queues: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 - as above
        """What is wrong with them in a processor of this store and these queues (none named: all there are)."""
        return ()


class StoreSettings(SettingsModel):
    """Which store, and how to open it."""

    queue_url: str = setting(
        "sqlite:///mqtt_queue.db",
        about="The store. Three slashes: relative to the working directory; four: an absolute path.",
        right="sqlite:///mqtt_queue.db or sqlite:////data/mqtt_queue.db",
        pattern=r"^[a-z]+:///.+$",
    )
    synchronous: Durability | None = setting(
        None,
        about="What a commit survives: FULL a power cut, NORMAL the end of the process. "
        "By default FULL in the listener and NORMAL in the processor.",
        right="FULL or NORMAL",
    )
    mmap_bytes: int = setting(
        268_435_456,
        about="How much of the database is mapped into memory; 0 turns mapping off.",
        right="a number of bytes, 0 or more, such as 268435456",
        ge=0,
    )
    busy_seconds: float = setting(
        10.0,
        about="How long to wait for another writer of the store.",
        right="seconds above 0, such as 10",
        gt=0,
        le=3600,
    )
    check_integrity: bool = setting(
        True,
        about="Check the database for damage at start (files up to 256 MiB; larger ones only for what is quick to see).",
        right="true or false",
    )

    def store_options(self, durability: Durability) -> StoreOptions:
        """How to open the store; ``durability`` where the user did not say."""
        return StoreOptions(
            durability=self.synchronous or durability,
            memory_map_bytes=self.mmap_bytes,
            busy_seconds=self.busy_seconds,
            check_integrity=self.check_integrity,
        )


class Settings(StoreSettings):
    """What every service is told."""

    topics: Names = setting((), about="Topic filters, with commas between.", right="sensors/+/temp,alerts/#")
    http_host: str = setting(
        "127.0.0.1",
        about="The address that /metrics, /healthz and /readyz are served on.",
        right="127.0.0.1 or 0.0.0.0",
        min_length=1,
    )
    http_port: int | None = setting(
        None,
        about="Their port; 0 picks a free one. Not set: 9464 for the listener, 9465 for a processor, or a free one where that is taken.",
        right="a port from 0 to 65535, such as 9464",
        ge=0,
        le=65535,
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO",
        about="Minimum log level. DEBUG shows MQTT packets.",
        right="DEBUG, INFO, WARNING or ERROR",
    )
    log_format: Literal["json", "text"] = setting(
        "json", about="json: one object per line; text: for people, as `[time] [LISTEN-topic] …`.", right="json or text"
    )
    tracing: Annotated[Literal["off", "otel"], AfterValidator(only_if_installed)] = setting(
        "off",
        about="otel: make OpenTelemetry spans (extra `otel`), which its own variables such as OTEL_EXPORTER_OTLP_ENDPOINT direct.",
        right="off or otel",
    )
    grace_seconds: float = setting(
        30.0,
        about="How long a service may take to finish after SIGTERM or SIGINT.",
        right="seconds, 0 or more, such as 30",
        ge=0,
        le=86_400,
    )


def variable(name: str) -> str:
    """The environment variable of the field ``name``."""
    return PREFIX + name.upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value must never be shown."""
    return "SecretStr" in str(field.annotation)


def show(field: FieldInfo, value: str) -> str:
    """``value`` of the field as it may be shown: without secrets and passwords in URLs."""
    if is_secret(field):
        return "(hidden)"
    extra = field.json_schema_extra
    return only_origin(value) if isinstance(extra, dict) and extra.get("is_capability") else without_password(value)


def right_value(field: FieldInfo) -> str:
    """What a good value of the field looks like."""
    extra = field.json_schema_extra
    return str(extra["right"]) if isinstance(extra, dict) and "right" in extra else "another value"


def load(model: type[_S], flags: Mapping[str, object], environ: Mapping[str, str], arguments: Arguments = None) -> _S:
    """Read ``model`` from flags (by field name; None is not given) and the environment.

    ``arguments`` names those of the flags that came as arguments of the command, by what its help calls them.
    Raises SettingsError, which tells of every wrong setting at once: its name, its value unless it is a secret,
    and what would be right.
    """
    reading = Reading(flags, environ, arguments)
    settings = reading.read(model)
    if settings is None or reading.problems:
        raise reading.error()
    return settings


def settings_error(problems: Sequence[str]) -> SettingsError:
    """All problems in one error, each on a line of its own."""
    return SettingsError(
        "\n".join(["the settings are wrong:", *(f"  {problem}" for problem in dict.fromkeys(problems))])
    )


class Reading:
    """Reads one model after the other from the same flags and environment, and gathers what is wrong in any of them."""

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
        """What the user gave for the field ``name``, as it came; None if nothing."""
        return self._flags.get(name) or self._environ.get(variable(name)) or None

    def read(self, model: type[_S]) -> _S | None:
        """Read ``model``; None if something is wrong with it, which ``problems`` tells then."""
        values: dict[str, object] = {}
        shown: dict[str, str] = {}
        problems = [
            f"{variable(name)} names two settings: those of a handler begin with the handler's name"
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
                        f"{key}_FILE={path!r}: can't be read ({error}); expected the path of a text file with the secret"
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
        """Every flag that belongs to none of the models read so far is a problem."""
        for name, value in self._flags.items():
            if name not in self._read:
                self.problems.append(f"{self._called(name)}={without_password(repr(value))}: {why}")

    def _called(self, name: str) -> str:
        return self._arguments.get(name) or f"--{name.replace('_', '-')}"


def _check_again(model: type[SettingsModel], values: Mapping[str, object], name: str, text: str) -> None:
    """Check a new value of one secret as all values were checked at the start. Raises ValueError, without the value."""
    others = {one: value.last if isinstance(value, SecretFile) else value for one, value in values.items()}
    try:
        model.model_validate({**others, name: SecretStr(text)})
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None


def _broken_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Variables of fmq's whose names a damaged environment file has made others of."""
    for name in environ:
        if not name.startswith(PREFIX) and name.strip(f"{_BOM}'\" \t\r").startswith(PREFIX):
            first = next(one for one in name if not one.isalnum())
            yield (
                f"The variable {plain(name)} has no effect: {_named(first)} comes before its name; remove it from the "
                "environment file"
            )


def _broken_value(value: str, *, is_secret: bool) -> str | None:
    """What an environment file has added to a value that is not meant: Docker and systemd take lines as they are."""
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
    """A character as people know it."""
    known = {"\r": "a carriage return", _BOM: "a byte order mark", '"': "a double quote", "'": "a single quote"}
    return f"{known.get(character, 'a character')} (U+{ord(character):04X})"


def _explain(
    error: dict[str, Any], model: type[SettingsModel], values: Mapping[str, object], shown: Mapping[str, str]
) -> str:
    why = str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0]) if error["loc"] else ""
    if name not in model.model_fields:
        return why
    field = model.model_fields[name]
    if error["type"] == "missing":
        return f"{variable(name)} is not set; it would be {right_value(field)}"
    given = values.get(name, field.default)
    value = show(field, repr(",".join(map(str, given)) if isinstance(given, tuple) else given))
    return f"{shown.get(name, variable(name))}={value}: {why}; it would be {right_value(field)}"
