"""The seam between fmq and whatever stores its messages.

Nothing here knows of SQL, MQTT or files: a distributed engine can take the
place of SQLite. ``tests/contract`` runs against every backend.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self
from uuid import UUID

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import SettingsError
from fmq.finding import Finding
from fmq.message import Claim, DeadLetter, Incoming, Message, Pause, QueueStats, Receipt, StoreStats, Terms, Waiting
from fmq.outcome import Settlement
from fmq.selection import Found, Selection
from fmq.text import without_password

NO_TERMS: Mapping[int, Terms] = MappingProxyType({})


class Durability(StrEnum):
    """What a commit survives."""

    FULL = "FULL"
    """A power cut. For whoever acknowledges a message after the commit."""
    NORMAL = "NORMAL"
    """The end of the process; a power cut may undo the last commits."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to open a store. ``busy_seconds``: how long to wait for another writer."""

    durability: Durability = Durability.FULL
    memory_map_bytes: int = 256 * 1024 * 1024
    busy_seconds: float = 10.0
    check_integrity: bool = True


@dataclass(frozen=True, slots=True)
class Retention:
    """How long settled messages are kept, in seconds; None is for ever, 0 not at all."""

    done_seconds: float | None = 86_400.0
    dead_seconds: float | None = None


class Queue(Protocol):
    """One connection to a store of queues, for one thread.

    Every method may raise StoreUnavailable (nothing of that call was stored; try again) and, where it names a
    queue, UnknownQueue. Each call that writes is one commit: all of it holds, or nothing.
    """

    def declare(self, name: str) -> None:
        """Make the queue of the topic filter ``name`` if there is none."""
        ...

    def names(self) -> Sequence[str]:
        """All queues, by name."""
        ...

    def put(
        self,
        messages: Sequence[Incoming],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
    ) -> Sequence[int]:
        """Store all messages, of any queues, in one commit, with ``receipt``. Those with a reason become dead letters.

        ``terms`` are those of the messages at these positions. Returns the positions of the messages that were not
        stored, being duplicates by their key.
        """
        ...

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        """Number and data of the receipts that are kept of a session, by number."""
        ...

    def forget_receipts(self, session: str) -> None:
        """Drop all receipts of a session."""
        ...

    def claim(
        self, name: str, limit: int, *, lease: float, ordered: bool = False, most_bytes: int | None = None
    ) -> Sequence[Claim]:
        """Borrow up to ``limit`` messages for ``lease`` seconds, the longest due first.

        They hold at most ``most_bytes`` together (``Message.held_bytes``); a larger one comes alone. What is too large is
        not read.

        A message whose last lease ran out comes alone, with ``suspect`` set. With ``ordered``, only the oldest
        unsettled message of a concrete topic is lent, and no other of that topic until it is settled; nor is an older one
        that an operator has requeued meanwhile.

        The first claim decides whether the queue is claimed in order; one of the other kind raises WrongOrder.
        """
        ...

    def ordered(self, name: str) -> bool | None:
        """Whether the queue is claimed in order; None before its first claim."""
        ...

    def set_order(self, name: str, *, ordered: bool) -> None:
        """Have the queue claimed in order from now on, or without. Raises QueueError while messages are lent."""
        ...

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """Lengthen the leases to ``lease`` seconds from now. Returns the claims that still held, with new ends."""
        ...

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> Sequence[Claim]:
        """Settle all claims in one commit. Returns the stale ones, on which it had no effect."""
        ...

    def changed(self) -> bool:
        """Whether another connection committed since the last call; costs microseconds."""
        ...

    def stats(self, name: str) -> QueueStats:
        """How the queue stands, in constant time."""
        ...

    def store_stats(self) -> StoreStats:
        """How the store as a whole stands."""
        ...

    def probe(self) -> None:
        """Write something and undo it. Raises StoreUnavailable if that fails."""
        ...

    def dead_letters(
        self,
        name: str,
        ids: Sequence[int] | None = None,
        *,
        limit: int = 100,
        after_id: int = 0,
        most_bytes: int | None = None,
    ) -> Sequence[DeadLetter]:
        """Dead letters (those of ``ids``, else all) with an id above ``after_id``, by id. ``most_bytes``: see ``messages``."""
        ...

    def requeue_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        """Make dead letters (those of ``ids``, else the oldest ``limit``) pending, with no attempts counted."""
        ...

    def requeue_done(self, name: str, ids: Sequence[int]) -> int:
        """Make those of ``ids`` that are done pending, to be handled once more, with no attempts counted."""
        ...

    def purge_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        """Delete dead letters (those of ``ids``, else the oldest ``limit``)."""
        ...

    def identity(self) -> UUID:
        """What tells this store from all others, made when it is first asked for; a copy of a store has the same."""
        ...

    def find(
        self, name: str, which: Selection, *, after_id: int = 0, limit: int = 1_000, within: int = 10_000
    ) -> Found:
        """Up to ``limit`` ids above ``after_id`` of the messages that are meant, looking at ``within`` messages at most."""
        ...

    def messages(self, name: str, ids: Sequence[int], *, most_bytes: int | None = None) -> Sequence[Message]:
        """Those messages that there are of ``ids``, by id, whatever their state. Nothing is claimed.

        Only the first of them that hold at most ``most_bytes`` together (``Message.held_bytes``), and one at least.
        """
        ...

    def waiting(self, name: str, ids: Sequence[int]) -> Mapping[int, Waiting]:
        """How those of ``ids`` wait that are pending, by id."""
        ...

    def next_retry(self, name: str) -> int | None:
        """The id of the pending message that is due next, of those that are not due yet."""
        ...

    def pause(self, name: str, reason: str) -> bool:
        """Lend nothing from now on, to anybody, until ``resume``; what is lent is settled as usual.

        False if the queue was paused already: the first pause stands, with its reason. So whoever pauses by a rule
        resumes only what has its own reason.
        """
        ...

    def resume(self, name: str) -> bool:
        """Lend again. False if the queue was not paused."""
        ...

    def paused(self, name: str) -> Pause | None:
        """Since when and why the queue is paused, or None."""
        ...

    def remember(self, key: str, value: str) -> None:
        """Keep a small note of a service with the store, such as what it has subscribed to."""
        ...

    def recall(self, key: str) -> str | None:
        """The note kept under ``key``, or None."""
        ...

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        """Keep ``new`` under ``key`` if the note there still is ``old`` (None: no note); whether it was."""
        ...

    def maintain(self, retention: Retention, *, limit: int = 1_000) -> int:
        """Do one short step of upkeep: delete up to ``limit`` messages past retention, give space back.

        Returns how many were deleted; 0 when nothing is left to do for now.
        """
        ...

    def close(self) -> None:
        """Give everything back. Claims still held end with their lease."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def open_queue(
    url: str, options: StoreOptions | None = None, *, clock: Clock = SYSTEM_CLOCK, create: bool = True
) -> Queue:
    """Open the store that ``url`` names; make it if there is none, unless ``create`` is False.

    ``sqlite:///name.db`` is relative to the working directory, ``sqlite:////var/lib/name.db`` absolute. Raises
    SettingsError on a URL that no backend takes, StoreRefused, StoreDamaged and StoreUnavailable.
    """
    _require_sqlite(url)
    from fmq.sqlite.queue import open_sqlite  # noqa: PLC0415 - the one place that picks a backend

    return open_sqlite(url, options or StoreOptions(), clock=clock, create=create)


def diagnose(url: str, *, thorough: bool = False) -> Iterable[Finding]:
    """Look at the store that ``url`` names without changing it; ``thorough``: however long that takes."""
    _require_sqlite(url)
    from fmq.sqlite.diagnosis import diagnose_file  # noqa: PLC0415 - as above

    return diagnose_file(url, thorough=thorough)


def back_up(url: str, target: Path, *, told: Callable[[int, int], None]) -> int:
    """Copy the store as it is at this moment to a new file, while others go on writing. Returns its size in bytes.

    ``told`` hears how much of how much is copied, in steps of the backend's own. The file appears only when it is
    whole, checked and on the disk. Raises QueueError if ``target`` exists or can't be made.
    """
    _require_sqlite(url)
    from fmq.sqlite.backup import back_up_file  # noqa: PLC0415 - as above

    return back_up_file(url, target, told=told)


def is_store(url: str) -> bool:
    """Whether ``url`` names a store of fmq's, and not another database or none.

    Raises SettingsError on a URL that no backend takes, StoreUnavailable if what it names can't be read.
    """
    _require_sqlite(url)
    from fmq.sqlite.guard import is_ours, path_of  # noqa: PLC0415 - as above

    return is_ours(path_of(url))


def set_aside(url: str) -> str:
    """Keep the store that ``url`` names under a new name, whatever its state, and say where. Nothing is deleted.

    For an operator's explicit word only. Raises StoreRefused if there is none, or if a process has it open.
    """
    _require_sqlite(url)
    from fmq.sqlite.aside import set_file_aside  # noqa: PLC0415 - as above

    return set_file_aside(url)


def guard_locks(url: str) -> None:
    """Refuse, from now on and in this process, what would take the locks of the store away: other code opening its files.

    For a process that runs code of its users' own. It can't be taken back.
    """
    _require_sqlite(url)
    from fmq.sqlite.guard import path_of  # noqa: PLC0415 - as above
    from fmq.sqlite.own_locks import guard_locks as guard  # noqa: PLC0415 - as above

    guard(path_of(url))


def same_store(url: str, other: str) -> bool:
    """Whether two URLs name one store, however they are written. Raises SettingsError on one that no backend takes."""
    for one in (url, other):
        _require_sqlite(one)
    from fmq.sqlite.guard import path_of  # noqa: PLC0415 - as above

    return path_of(url).resolve() == path_of(other).resolve()


def _require_sqlite(url: str) -> None:
    if url.partition(":")[0] != "sqlite":
        raise SettingsError(
            f"{without_password(url)!r} is no queue URL: it would be like sqlite:///mqtt_queue.db or sqlite:////data/mqtt_queue.db"
        )
