"""What monitoring shows."""

from collections.abc import Sequence
from typing import Protocol

from fmq.message import QueueStats, StoreStats
from fmq.store.records import Minute, ServerState, Service


class Statistics(Protocol):
    """Figures for metrics and pages. Each read takes constant time, however many messages there are."""

    def names(self) -> Sequence[str]:
        """The names of all queues, sorted."""
        ...

    def stats(self, name: str) -> QueueStats:
        """The counters of a queue."""
        ...

    def all_stats(self) -> Sequence[QueueStats]:
        """The counters of all queues, by name. Leaves out one that is deleted meanwhile."""
        ...

    def store_stats(self) -> StoreStats:
        """The sizes of the whole store, as far as they are known."""
        ...

    def server_state(self) -> ServerState | None:
        """The server that holds the store, as it was at most 15 seconds ago. None if the store needs no server."""
        ...

    def retrying(self, name: str, *, most: int = 10_000) -> int:
        """The number of messages that wait for a retry or for the end of a delay, counted up to ``most``."""
        ...

    def last_received_at(self, name: str) -> float | None:
        """When the newest message that the queue has was received, in Unix seconds; None if it has none."""
        ...

    def history(self, *, since: int = 0, name: str | None = None) -> Sequence[Minute]:
        """The minutes since ``since`` (in Unix minutes), oldest first, as ``note_minute`` recorded them.

        With ``name``, each has that queue alone, or no queue: a day of many queues takes long to read.
        """
        ...

    def services(self) -> Sequence[Service]:
        """The services that have reported within the last day, by name."""
        ...
