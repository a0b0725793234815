"""Services, operations and the audit."""

from typing import Literal

from fmq_web.answers.base import Answer


class RouteView(Answer):
    """A route of a processor, with its first 20 queues and topics."""

    name: str
    queues: list[str]
    """Empty: all queues."""
    topics: list[str]
    """Empty: all messages of these queues."""
    handler: str
    circuit: str
    """What the circuit breaker says of itself; empty while it is closed."""
    rate: str
    """The rate limit, and whether messages wait for it; empty if there is none."""
    in_hand: int


class ServiceView(Answer):
    """A listener or a processor, as it last reported itself."""

    name: str
    kind: str
    host: str
    pid: int
    version: str
    started_at: float
    unseen_seconds: float
    away: bool
    """Not seen for 30 s."""
    queues: list[str]
    """Empty for a processor: all queues."""
    connected: bool | None
    """A listener's connection to its broker."""
    handler: str | None
    circuit: str | None
    """What a processor's circuit breaker says of itself; empty while it is closed."""
    in_hand: int | None
    routes: list[RouteView]
    """Of a processor, the first 100. One without routes in its file has one, called main."""
    p50_seconds: float | None
    """The time in system over the last full minute."""
    p95_seconds: float | None


class Services(Answer):
    services: list[ServiceView]


OperationKind = Literal["requeue", "purge", "handle-again", "delete-queue", "purge-queue"]


class OperationView(Answer):
    """A change of many messages, in steps on the server."""

    id: str
    kind: OperationKind
    queue: str
    selection: str
    """In words."""
    actor: str
    state: Literal["running", "done", "cancelled", "stopped", "failed"]
    total: int
    """How many messages the dry run counted."""
    more: bool
    """There are more than ``total``: counting them all would have taken too long."""
    changed: int
    rate: float | None
    started_at: float
    ended_at: float | None
    problem: str


class DryRun(Answer):
    """What an operation would change. ``token`` starts exactly this one, within ten minutes."""

    token: str
    kind: OperationKind
    queue: str
    selection: str
    count: int
    more: bool
    """There are more than ``count``: counting them all would have taken too long."""


class Operations(Answer):
    operations: list[OperationView]


class ActionView(Answer):
    """A row of the audit."""

    number: str
    at: float
    actor: str
    kind: str
    queue: str
    selection: str
    changed: int
    ended_at: float | None


class Activity(Answer):
    """What was done, newest first, and what goes on."""

    actions: list[ActionView]
    operations: list[OperationView]
    before: str | None
