"""The JSON that commands print with --json: one object per command. Each field is always there, if need be as null.

Times are RFC 3339 in UTC, spans are in seconds, sizes in bytes. docs/cli.schema.json is made from these classes.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in UTC: 2026-11-29T11:35:47.021231Z."""


@dataclass(frozen=True, slots=True)
class Paused:
    """Since when a queue is paused, and why."""

    since: Time | None
    reason: str


@dataclass(frozen=True, slots=True)
class NextRetry:
    """The message whose retry is due next, in how many seconds, and why its last attempt failed."""

    id: int
    due_in: float
    reason: str


@dataclass(frozen=True, slots=True)
class SetAsideShape:
    """Messages that wait for a route of a processor (null: no route takes them), each counted up to 10,000."""

    route: str | None
    messages: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages per second since the last look."""

    stored: float
    settled: float


@dataclass(frozen=True, slots=True)
class QueueShape:
    """The state of a queue, in messages. ``stored``, ``handled``, ``failed`` and ``died`` are totals that only grow.

    ``rates`` is null without --watch and at its first look.
    """

    queue: str
    pending: int
    claimed: int
    done: int
    dead: int
    stored: int
    handled: int
    failed: int
    died: int
    oldest_pending_at: Time | None
    paused: Paused | None
    next_retry: NextRetry | None
    set_aside: list[SetAsideShape]
    rates: Rates | None


@dataclass(frozen=True, slots=True)
class StoreShape:
    """Sizes of the store in bytes; null where this host can't know them."""

    database_bytes: int
    wal_bytes: int | None
    free_disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class RouteShape:
    """A route of a processor that is at work. No ``queues`` or ``topics``: all. ``rate`` is the rate limit, null if there is none."""

    processor: str
    route: str
    queues: list[str]
    topics: list[str]
    handler: str
    circuit: str
    rate: str | None
    in_progress: int


@dataclass(frozen=True, slots=True)
class StatusShape:
    """`fmq status`. With --watch, one per line."""

    at: Time | None
    queues: list[QueueShape]
    routes: list[RouteShape]
    store: StoreShape
    command: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class MessageShape:
    """A message. ``payload`` is its text; null if it is not UTF-8: then ``payload_base64`` has its bytes.

    ``due_in`` is for a pending message, ``dead_at`` for a dead letter. ``reason`` is why the last attempt failed; empty if none
    did.
    """

    id: int
    queue: str
    topic: str
    state: Literal["pending", "dead"]
    received_at: Time | None
    retry_count: int
    qos: int
    retain: bool
    properties: dict[str, Any]
    payload: str | None
    payload_base64: str | None
    due_in: float | None
    dead_at: Time | None
    reason: str


@dataclass(frozen=True, slots=True)
class PageShape:
    """`fmq peek` and `fmq dead list`. ``total`` counts all messages of the queue in that state, whatever the filter.

    ``next`` is the value of --after for the next page; null at the end.
    """

    command: Literal["peek", "dead list"]
    queue: str
    total: int
    next: str | None
    messages: list[MessageShape]


@dataclass(frozen=True, slots=True)
class LetterShape:
    """`fmq dead show`."""

    message: MessageShape
    command: Literal["dead show"] = "dead show"


@dataclass(frozen=True, slots=True)
class GroupShape:
    """Dead letters whose reasons differ only in numbers, identifiers or quoted text. ``reason`` is the newest."""

    queue: str
    group: str
    count: int
    first_at: Time | None
    last_at: Time | None
    reason: str


@dataclass(frozen=True, slots=True)
class SummaryShape:
    """`fmq dead summary`. ``looked_at`` counts the dead letters, those of groups that are not shown included."""

    groups: list[GroupShape]
    looked_at: int
    command: Literal["dead summary"] = "dead summary"


Level = Literal["ok", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class FigureShape:
    """A figure of a queue with its limits; null: no limit. ``age`` is in seconds."""

    what: Literal["pending", "age", "dead"]
    value: float
    warn: float | None
    limit: float | None
    level: Level


@dataclass(frozen=True, slots=True)
class CheckedShape:
    """The figures of a queue, or of all queues together."""

    queue: str
    figures: list[FigureShape]


@dataclass(frozen=True, slots=True)
class CheckShape:
    """`fmq check`. ``level`` is the worst of all."""

    level: Level
    queues: list[CheckedShape]
    command: Literal["check"] = "check"


@dataclass(frozen=True, slots=True)
class FindingShape:
    """What a check of `fmq doctor` found; ``advice`` may be empty."""

    level: Literal["ok", "warning", "problem"]
    about: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class DoctorShape:
    """`fmq doctor`."""

    problems: int
    warnings: int
    findings: list[FindingShape] = field(default_factory=list)
    command: Literal["doctor"] = "doctor"


@dataclass(frozen=True, slots=True)
class SettingShape:
    """The value of a setting as text, without secrets, and where it comes from: a variable, a line of a file, or default."""

    value: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class ConfigShape:
    """`fmq config`: the settings by their names, by service, handler or route; and what services would reject."""

    sections: dict[str, dict[str, SettingShape]]
    problems: list[str]
    command: Literal["config"] = "config"


@dataclass(frozen=True, slots=True)
class HealthShape:
    """`fmq health`: each check with ``ok`` or what is wrong, and what else the service says of itself."""

    status: Literal["ok", "failing"]
    checks: dict[str, str]
    notes: dict[str, str]
    command: Literal["health"] = "health"


@dataclass(frozen=True, slots=True)
class LogShape:
    """A line that a handler logged."""

    level: str
    logger: str
    message: str


@dataclass(frozen=True, slots=True)
class TryShape:
    """`fmq try`. ``seconds`` is the time of the call. ``delay`` is for a retry, in seconds; ``reason`` and ``cause`` are for failures."""

    outcome: Literal["done", "skipped", "retry", "dead"]
    seconds: float
    logs: list[LogShape]
    delay: float | None = None
    reason: str | None = None
    cause: str | None = None
    command: Literal["try"] = "try"


SHAPES = (
    StatusShape,
    PageShape,
    LetterShape,
    SummaryShape,
    CheckShape,
    DoctorShape,
    ConfigShape,
    HealthShape,
    TryShape,
)
"""What a command prints is one of these; its field ``command`` says which."""
