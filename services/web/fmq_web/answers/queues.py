"""Queues: the overview and one queue."""

from typing import Literal

from fmq_web.answers.base import Answer


class Need(Answer):
    """Why a queue, or the whole store, needs a person."""

    kind: Literal["dead", "waiting", "no_progress", "paused", "circuit", "away", "disk", "server"]
    severity: Literal["ask", "bad"]
    text: str
    """A sentence without the queue's name, such as "has 38 dead letters"."""
    runbook: str
    """The name of the runbook's page, such as "FmqDeadLetters"."""


class PauseState(Answer):
    """Since when and why a queue is paused."""

    since: float
    reason: str


class Tide(Answer):
    """The flow within one minute, in messages a second. Only of full minutes."""

    minute: int
    """Unix time divided by 60."""
    inflow: float
    outflow: float


class Counts(Answer):
    """The figures of a queue that change all the time. The live stream sends the same."""

    name: str
    stored: int
    """Ever stored; it only grows, as handled, failed and died do."""
    handled: int
    failed: int
    died: int
    waiting: int
    """Not settled, not lent to a processor; those that wait for a retry are included."""
    running: int
    """Lent to processors."""
    retrying: int
    """Waiting for a retry or for the end of a delay, counted up to RETRYING_LIMIT."""
    done: int
    """Handled and not yet deleted by retention."""
    dead: int
    oldest_seconds: float | None
    """The age of the oldest waiting message."""
    in_per_second: float | None
    """Over the last minutes; None while nobody knows yet."""
    out_per_second: float | None
    drain_seconds: float | None
    """How long until nothing waits, at the present rates. None if it does not shrink."""
    paused: PauseState | None
    needs: list[Need]


RETRYING_LIMIT = 10_000


class QueueRow(Counts):
    """A queue in the overview."""

    last_hour: list[Tide]
    last_message_at: float | None


class StoreSizes(Answer):
    """Bytes on disk."""

    database_bytes: int
    log_bytes: int | None
    """None where the store can't know it, as on another host; free_disk_bytes too."""
    free_disk_bytes: int | None


class Overview(Answer):
    """All queues: those with needs first, then by name."""

    at: float
    summary: str
    """One sentence: what needs a person, or that all is well."""
    detail: str
    """One or two sentences: what waits, and who is at work."""
    queues: list[QueueRow]
    sizes: StoreSizes
    needs: list[Need]
    """Needs of the store as a whole."""
    total_stored: int


class HistoryPoint(Answer):
    """One full minute, or a mean of several."""

    minute: int
    minutes: int
    inflow: float
    outflow: float
    failed: float
    """Failed attempts a second."""
    waiting: int
    dead: int
    oldest_seconds: float | None


class History(Answer):
    """A queue's last hours, oldest first. ``hours`` is 1, 6 or 24."""

    queue: str
    hours: int
    points: list[HistoryPoint]


class QueueView(Answer):
    """One queue."""

    at: float
    counts: QueueRow
    ordered: bool | None
    """Whether it is delivered in order; None before its first claim."""
    subscribed: bool
    """Whether a listener that is at work subscribes to it."""
    deletable: bool
    """Whether nobody subscribes to it, and it holds nothing but handled messages."""
    handled_by: list[str]
    """Names of the processors that serve it."""
