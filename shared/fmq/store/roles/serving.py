"""What listeners and processors do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from fmq.message import Claim, Incoming, Receipt, Terms
from fmq.outcome import Settlement
from fmq.store.options import NO_TERMS, Retention
from fmq.store.records import ServiceReport


class Receipts(Protocol):
    """Keeps what a listener needs to know about its last commits."""

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        """Number and data of a session's receipts, by number."""
        ...

    def forget_receipts(self, session: str) -> None:
        """Drop all receipts of a session."""
        ...


class Intake(Receipts, Protocol):
    """Stores messages, for a listener."""

    def declare(self, name: str) -> None:
        """Create the queue of the topic filter ``name`` if it does not exist."""
        ...

    def put(
        self,
        messages: Sequence[Incoming],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
    ) -> Sequence[int]:
        """Store all messages, of any queues, and the receipt in one commit. A message with a reason becomes a dead letter.

        ``terms`` maps a position in ``messages`` to its terms. Returns the positions of duplicates, which are not stored.
        """
        ...


class Lending(Protocol):
    """Lends messages and settles them, for a processor."""

    def names(self) -> Sequence[str]:
        """The names of all queues, sorted."""
        ...

    def unsettled(self) -> Sequence[str] | None:
        """The queues that have pending or claimed messages, by their counters. None: this store can't tell them at once."""
        ...

    def claim(
        self,
        name: str,
        limit: int,
        *,
        lease: float,
        ordered: bool = False,
        most_bytes: int | None = None,
        route: str | None = None,
    ) -> Sequence[Claim]:
        """Claim up to ``limit`` messages for ``lease`` seconds, those that have been due longest first.

        Together they hold at most ``most_bytes`` (``Message.held_bytes``); a larger message comes alone. Messages that do
        not fit are not read.

        A message whose last lease ran out comes alone, with ``suspect`` set: it may have killed its worker. That holds until
        somebody has tried it: given back or set aside, it comes alone again. With ``ordered``, only the oldest unsettled
        message of a concrete topic is lent, and no other of that topic until it is settled, not even an older one that an
        operator has requeued meanwhile.

        With ``route``, what is set aside for that route of a processor comes before everything else, by id, whether it is due
        or not. An ordered claim takes its topics in turn all the same.

        The first claim decides whether the queue is claimed in order. A claim of the other kind raises WrongOrder.
        """
        ...

    def ordered(self, name: str) -> bool | None:
        """Whether the queue is claimed in order; None before its first claim."""
        ...

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """Extend leases to ``lease`` seconds from now. Returns the claims that were still held, with their new ends."""
        ...

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]], *, worker: str = "") -> Sequence[Claim]:
        """Settle all claims in one commit. Returns the stale claims, on which it had no effect.

        The first settlement of a claim counts; a second one is stale, unless the first call raised StoreUnavailable.

        ``worker`` names the worker that made the attempts. It is kept with failed attempts.
        """
        ...

    def wait(self, timeout: float) -> bool:
        """Wait until another connection has committed since the last call, for at most ``timeout`` seconds.

        Returns whether one has; the commit may concern another queue. With a timeout of 0 the call takes microseconds. On
        another host a commit may be noticed late, by 50 ms as a rule: so poll as well.
        """
        ...

    def alarm(self) -> int | None:
        """A file descriptor that gets readable when messages become available, and stays so until ``wait`` is called.

        It is a hint, and may come for nothing. None: this store has none, so call ``wait`` often.
        """
        ...


class Parking(Protocol):
    """Shows and ends the waits of messages that are set aside for a route of a processor, for processors and operators."""

    def parked(self, name: str, *, most: int = 10_000) -> Mapping[str, int]:
        """How many messages are set aside, by the route that they wait for (empty: for none), each counted up to ``most``."""
        ...

    def release(self, name: str, *, but: Sequence[str] = (), limit: int = 1_000) -> int:
        """Make up to ``limit`` messages that are set aside due now, except those for the routes ``but``. Returns how many."""
        ...


class Notes(Protocol):
    """Keeps small notes of services in the store."""

    def remember(self, key: str, value: str) -> None:
        """Keep a small note, for example which filters a listener has subscribed to."""
        ...

    def recall(self, key: str) -> str | None:
        """The note kept under ``key``, or None."""
        ...


class Identity(Notes, Protocol):
    """Names the store, and agrees on names in it."""

    def identity(self) -> UUID:
        """The identity of this store, created by the first call. A copy of a store has the same identity."""
        ...

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        """Replace the note ``old`` under ``key`` (None: no note) by ``new``. Returns False if it was another note."""
        ...


class Pacing(Notes, Protocol):
    """Agrees on a rate with other processes (fmq.store.pacing)."""

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        """See Identity."""
        ...

    def now(self) -> float:
        """The store's time in seconds. All users of the store share it; nobody can set it on one host."""
        ...


class Upkeep(Protocol):
    """Maintains the store, for services."""

    def probe(self) -> None:
        """Write to the store. Raises StoreUnavailable if that fails."""
        ...

    def note_minute(self) -> bool:
        """Record the counters of all queues once a minute. Returns whether this call did. The last 1,440 minutes are kept."""
        ...

    def report(self, service: ServiceReport) -> None:
        """Replace a service's last report. Reports that are older than a day are deleted."""
        ...

    def withdraw(self, name: str) -> None:
        """Delete the report of a service that has stopped."""
        ...

    def names(self) -> Sequence[str]:
        """See Lending."""
        ...

    def maintain(
        self, retention: Retention, *, limit: int = 1_000, on_discarded: Callable[[str, int], None] | None = None
    ) -> int:
        """Do one short step of upkeep: delete up to ``limit`` messages past retention, or release space.

        Returns how many messages were deleted; 0 when nothing is left to do for now. ``on_discarded`` receives each queue of which
        dead letters were deleted, and how many.
        """
        ...
