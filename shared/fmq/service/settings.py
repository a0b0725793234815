"""Settings: each defined once, read from flags and the environment, with all errors in one message.

A field ``lease_seconds`` is the variable ``FMQ_LEASE_SECONDS`` and the flag
``--lease-seconds``; a flag wins. Both win over a configuration file (``fmq.service.config``). A secret ``broker_password`` can also be given as the
path of a file in ``FMQ_BROKER_PASSWORD_FILE``, which is read again at each use (``SecretFile``): read
it where you use it and keep no copy. A secret has no flag, since other users of the machine would see it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from fmq import quantities
from fmq.extras import only_if_installed
from fmq.quantities import Unit
from fmq.store.options import Durability, StoreOptions
from fmq.text import only_origin, without_password, without_query

PREFIX = "FMQ_"
Headings = Mapping[str, tuple[str, ...]]


def setting(
    default: Any,  # noqa: ANN401 - as pydantic's Field
    *,
    about: str,
    expected: str,
    is_capability: bool = False,
    has_secret_query: bool = False,
    unit: Unit | None = None,
    **limits: Any,  # noqa: ANN401 - as pydantic's Field
) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field of a Settings class. ``about`` says what it is for, ``expected`` what a valid value looks like.

    A ``default`` of ``...`` makes it required. ``is_capability`` marks a URL whose path or query may grant access: only its
    origin is shown. ``has_secret_query`` hides what follows a question mark. A number with a ``unit`` may be given with one
    (``30s``, ``64MiB``) and is shown so.
    """
    extra: dict[str, Any] = {"expected": expected, "unit": unit}
    extra |= {"is_capability": is_capability, "has_secret_query": has_secret_query}
    return Field(default, description=about, json_schema_extra=extra, validate_default=True, **limits)


def placed(field: Any, place: str | None = None, *, of_process: bool = False, never_empty: bool = False) -> Any:  # noqa: ANN401 - as pydantic's Field
    """The ``field`` of ``setting()`` with another ``place`` in a configuration file: table and key. Empty: it is in none.

    ``of_process`` marks a setting of a processor that a route can't have for itself. ``never_empty`` refuses a list that is given
    without a name in it.
    """
    field.json_schema_extra |= {"place": place, "of_process": of_process, "never_empty": never_empty}
    return field


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Names, separated by commas."""


class SettingsModel(BaseModel):
    """The base of all settings. Every field is made with ``setting()``."""

    headings: ClassVar[Headings] = {}
    """The names of the settings that the class adds, by the heading under which the help shows them."""

    # Built at the first use: most are only the base of another, and each takes a tenth of a command's start.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    table: ClassVar[str] = ""
    """The table of a configuration file for the settings that the class adds."""

    @field_validator("*", mode="before")
    @classmethod
    def _with_unit(cls, value: object, info: ValidationInfo) -> object:
        unit = detail(cls.model_fields[str(info.field_name)], "unit")
        number = quantities.parse(value, unit) if unit and isinstance(value, str) else None
        return value if number is None else number


class HandlerSettings(SettingsModel):
    """The base of a handler's settings. Each field's name starts with the handler's name."""

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - for those that override it
        """Conflicts with the processor's settings: ``calls`` run at once, for ``seconds`` each (0: no limit)."""
        return ()

    def conflicts(self, *, queue_url: str, queues: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 - as above
        """Conflicts with the processor's store and queues (no queues: all that exist)."""
        return ()


class StoreSettings(SettingsModel):
    """Settings of the store."""

    table: ClassVar = "store"

    config: str | None = placed(
        setting(
            None,
            about="Configuration file. Default: fmq.toml in the working directory, if there is one.",
            expected="the path of a TOML file, such as /etc/fmq/fmq.toml",
            min_length=1,
        ),
        "",
    )
    queue_url: str = placed(
        setting(
            "sqlite:///mqtt_queue.db",
            about="URL of the store. Of SQLite, three slashes start a relative path, four an absolute path. Of PostgreSQL, "
            "several hosts may stand between commas.",
            expected="sqlite:///mqtt_queue.db, sqlite:////data/mqtt_queue.db or postgresql://fmq@db.example.com/fmq",
            pattern=r"^[a-z]+://.+$",
        ),
        "store.url",
    )
    synchronous: Durability | None = setting(
        None,
        about="What a commit survives: FULL a power cut, NORMAL the end of the process. "
        "Default: FULL in the listener, NORMAL in the processor.",
        expected="FULL or NORMAL",
    )
    mmap_bytes: int = setting(
        268_435_456,
        about="SQLite only: number of bytes of the database to map into memory; 0 turns mapping off.",
        unit="bytes",
        expected="a size, 0 or more, such as 256MiB",
        ge=0,
        le=2**63 - 1,
    )
    busy_seconds: float = setting(
        10.0,
        about="Time to wait for another writer of the store.",
        unit="seconds",
        expected="a time above 0, such as 10s",
        gt=0,
        le=3600,
    )
    check_integrity: bool = setting(
        True,
        about="SQLite only: check the database for damage at start. Files above 256 MiB are skipped.",
        expected="true or false",
    )

    headings: ClassVar[Headings] = {
        "Settings": ("config",),
        "Store": ("queue_url", "synchronous", "mmap_bytes", "busy_seconds", "check_integrity"),
    }

    def store_options(self, durability: Durability) -> StoreOptions:
        """The options for opening the store; ``durability`` is the default."""
        return StoreOptions(
            durability=self.synchronous or durability,
            tuning={"memory_map_bytes": self.mmap_bytes},
            busy_seconds=self.busy_seconds,
            check_integrity=self.check_integrity,
        )


class ServiceSettings(StoreSettings):
    """Settings of every service."""

    table: ClassVar = "service"

    http_host: str = setting(
        "127.0.0.1",
        about="Address on which to serve /metrics, /healthz and /readyz.",
        expected="127.0.0.1 or 0.0.0.0",
        min_length=1,
    )
    http_port: int | None = setting(
        None,
        about="Port of /metrics, /healthz and /readyz; 0 picks a free port. Default: 9464 for the listener, 9465 for a processor, 9467 for the web page, or a free port if that is taken.",
        expected="a port from 0 to 65535, such as 9464",
        ge=0,
        le=65535,
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "INFO",
        about="Minimum log level. DEBUG shows MQTT packets.",
        expected="DEBUG, INFO, WARNING or ERROR",
    )
    log_format: Literal["auto", "json", "text"] = setting(
        "auto",
        about="Log format: json (one object per line), text for people (`[time] [LISTEN-topic] …`), or auto: text on a terminal, "
        "json otherwise.",
        expected="auto, json or text",
    )
    grace_seconds: float = setting(
        30.0,
        about="Time that a service may take to stop after SIGTERM or SIGINT.",
        unit="seconds",
        expected="a time, 0 or more, such as 30s",
        ge=0,
        le=86_400,
    )

    headings: ClassVar[Headings] = {"Service": ("http_host", "http_port", "log_level", "log_format", "grace_seconds")}


class Settings(ServiceSettings):
    """Settings of the services that move messages."""

    topics: Names = placed(
        setting(
            (),
            about="Topic filters, separated by commas.",
            expected="sensors/+/temp,alerts/#",
        ),
        "",
    )
    tracing: Annotated[Literal["off", "otel"], AfterValidator(only_if_installed)] = setting(
        "off",
        about="Tracing: off, or otel for OpenTelemetry spans (extra `otel`), configured by variables such as OTEL_EXPORTER_OTLP_ENDPOINT.",
        expected="off or otel",
    )

    headings: ClassVar[Headings] = {"Delivery": ("topics",), "Service": ("tracing",)}


def variable(name: str) -> str:
    """The environment variable of the field ``name``."""
    return PREFIX + name.upper()


def detail(field: FieldInfo, name: str) -> Any:  # noqa: ANN401 - each detail has its own type
    """What the field's ``setting()`` and ``placed()`` say; None if they do not."""
    extra = field.json_schema_extra
    return extra.get(name) if isinstance(extra, dict) else None


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value must never be shown."""
    return "SecretStr" in str(field.annotation)


def is_list(field: FieldInfo) -> bool:
    """Whether the field is a list of names."""
    return field.annotation == tuple[str, ...]


def show(field: FieldInfo, value: str) -> str:
    """``value`` of the field as it may be shown: without secrets and passwords in URLs."""
    if is_secret(field):
        return "(hidden)"
    if detail(field, "has_secret_query"):
        return without_query(without_password(value))
    return only_origin(value) if detail(field, "is_capability") else without_password(value)


def show_number(field: FieldInfo, value: str) -> str:
    """A valid number with its unit, if the field has one; anything else as it is."""
    unit: Unit | None = detail(field, "unit")
    if unit is None:
        return value
    number = quantities.parse(value, unit)
    try:
        return quantities.show(float(value) if number is None else number, unit)
    except ValueError:
        return value


def expected_value(field: FieldInfo) -> str:
    """What a valid value of the field looks like."""
    return str(detail(field, "expected") or "another value")
