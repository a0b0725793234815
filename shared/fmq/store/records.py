"""Values that pages and commands read from a store, and what moves between stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fmq.message import Message, MessageId, Properties
from fmq.store.selection import State


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt at a message. ``number`` counts from 1 over its whole life; ``at`` is in Unix seconds.

    ``cause`` is the label in the metrics (fmq.outcome.Cause), ``reason`` is for people. ``worker`` is empty if it is unknown,
    as for a worker that died and let its lease run out.
    """

    number: int
    at: float
    cause: str
    reason: str
    worker: str


@dataclass(frozen=True, slots=True)
class Head:
    """A message with the first bytes of its payload. ``size`` is the size of the whole payload in bytes.

    ``received_at`` and ``settled_at`` are in Unix seconds. ``due_in`` is the time in seconds until a delayed message is due.
    ``lease`` is the time in seconds until the lease of a claimed message ends, negative afterwards. ``reason`` is why the last
    attempt failed, or why the message is dead.
    """

    id: MessageId
    queue: str
    topic: str
    state: State
    payload: bytes
    size: int
    received_at: float
    qos: int
    retain: bool
    retry_count: int
    settled_at: float | None = None
    due_in: float | None = None
    lease: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """One message: its head, its properties and its failed attempts. ``has_more``: there are more properties than these."""

    head: Head
    properties: Properties
    attempts: Sequence[Attempt]
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One step through messages: the matches, how many messages it looked at, and where to continue (None at the end)."""

    heads: Sequence[Head]
    looked_at: int
    before: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters whose reasons share a fingerprint. Times are in Unix seconds. ``reason`` is that of the last one."""

    fingerprint: str
    count: int
    first_at: float
    last_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Groups:
    """One step through dead letters: their groups, how many it looked at, and where to continue (None at the end)."""

    groups: Sequence[Group]
    looked_at: int
    before: str | None


@dataclass(frozen=True, slots=True)
class QueueMinute:
    """The counters of a queue at the end of a minute. ``stored``, ``handled``, ``failed`` and ``died`` only grow."""

    stored: int
    handled: int
    failed: int
    died: int
    pending: int
    claimed: int
    dead: int
    oldest_age: float | None = None
    """The age of the oldest pending message in seconds."""


@dataclass(frozen=True, slots=True)
class Minute:
    """All queues at the end of one minute. ``minute`` is the Unix time divided by 60."""

    minute: int
    queues: Mapping[str, QueueMinute]


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """The report of a service. ``name`` is unique among the services of a store (kind, host and process).

    ``kind`` is listener or processor. ``started_at`` is in Unix seconds. ``state`` is JSON for a page: for example the queues
    that it serves, whether it is connected, its circuit breaker and how many messages it holds.
    """

    name: str
    kind: str
    host: str
    pid: int
    version: str
    started_at: float
    state: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """A service with the seconds since its last report."""

    report: ServiceReport
    unseen: float


@dataclass(frozen=True, slots=True)
class Action:
    """Something that an operator did. ``ended_at`` is None while it goes on.

    ``kind`` is the verb (requeue, purge, pause, resume, order…), ``selection`` describes the selected messages, ``changed`` is
    the number of messages changed so far. Times are in Unix seconds.
    """

    number: int
    at: float
    actor: str
    kind: str
    queue: str
    selection: str
    changed: int
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The database server that holds a store. None: the store's user may not see it, or there is none.

    ``timeline`` rises with every failover. ``standbys_wanted`` synchronous standbys must have a commit before it counts,
    ``standbys_streaming`` are there. ``lag_bytes`` and ``lag_seconds`` are how far the best standby's disk is behind.

    ``oldest_transaction`` and ``oldest_snapshot`` are ages in seconds, 0 if there is none: of the oldest transaction that others
    have open in the store's database, and of the oldest one that keeps the server from cleaning up dead rows. ``dead_rows`` has
    the dead rows among the unsettled messages of each queue, as the server estimates them.

    ``reconnects`` and ``retries`` (transactions run again after a deadlock) count what this process went through.
    """

    is_primary: bool
    timeline: int | None
    standbys_wanted: int
    standbys_streaming: int | None
    lag_bytes: int | None
    lag_seconds: float | None
    oldest_transaction: float
    oldest_snapshot: float
    dead_rows: Mapping[str, int]
    reconnects: int
    retries: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with all that a store keeps of it. Times are in Unix seconds.

    ``state`` is PENDING (due or not), CLAIMED, DONE or DEAD. Only an unsettled message has ``stored_at``, since when its expiry
    counts, and ``due_at``: from when it may be lent, or of a claimed one when its lease ends. Only a settled one has
    ``settled_at``. ``reason`` is why the last attempt failed, or why the message is dead.
    """

    message: Message
    state: State
    stored_at: float | None = None
    due_at: float | None = None
    settled_at: float | None = None
    reason: str = ""
    attempts: Sequence[Attempt] = ()


class Key(NamedTuple):
    """A key by which a queue recognizes duplicates, for ``seconds`` more. ``text`` is None if the store keeps only the digest."""

    digest: bytes
    text: str | None
    seconds: float
