"""How things stand, how fast they go, and whether anything was lost. Pure."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of messages, but ``retries``, which counts failed attempts that will be repeated."""

    published: int = 0
    stored: int = 0
    pending: int = 0
    claimed: int = 0
    retries: int = 0
    done: int = 0
    dead: int = 0

    @property
    def waiting(self) -> int:
        """Stored, and neither done nor dead yet."""
        return self.pending + self.claimed


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of every queue at one moment (steady seconds)."""

    at: float
    queues: tuple[tuple[str, Figures], ...]

    @property
    def total(self) -> Figures:
        return Figures(*(sum(column) for column in zip(*(astuple(one) for _, one in self.queues), strict=True)))


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages a second."""

    published: float = 0.0
    stored: float = 0.0
    done: float = 0.0


def rates(earlier: Snapshot, later: Snapshot) -> Rates:
    """How fast things went between two moments."""
    seconds = later.at - earlier.at
    if seconds <= 0:
        return Rates()
    old, new = earlier.total, later.total
    return Rates(
        published=(new.published - old.published) / seconds,
        stored=(new.stored - old.stored) / seconds,
        done=(new.done - old.done) / seconds,
    )


class Patience:
    """Waits for the last messages as long as any are stored or settled, and ``seconds`` longer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._progress = -1
        self._since = 0.0

    def is_over(self, snapshot: Snapshot) -> bool:
        """Whether all is settled, or nothing happens any more."""
        if all(one.stored >= one.published and not one.waiting for _, one in snapshot.queues):
            return True
        total = snapshot.total
        progress = total.stored + total.done + total.dead
        if progress != self._progress:
            self._progress, self._since = progress, snapshot.at
        return snapshot.at - self._since >= self._seconds


def most_dead(snapshot: Snapshot) -> str:
    """The queue with the most dead letters."""
    return max(snapshot.queues, key=lambda one: one[1].dead)[0]


def shortfalls(queues: Sequence[tuple[str, Figures]], *, refused: int = 0, unanswered: int = 0) -> list[str]:
    """What is not as it must be at the end; empty if nothing was lost.

    Every message that the broker acknowledged is stored once, and every stored one is done or a dead letter.
    """
    found = []
    if not any(one.published for _, one in queues):
        found.append("nothing was published")
    for name, one in queues:
        if one.stored < one.published:
            found.append(f"{name}: {one.published - one.stored:,} published messages were not stored")
        if one.stored > one.published:
            found.append(f"{name}: {one.stored - one.published:,} more messages were stored than published")
        if one.waiting:
            found.append(f"{name}: {one.waiting:,} messages still wait to be processed")
        if one.done + one.dead + one.waiting != one.stored:
            found.append(f"{name}: {one.done:,} done and {one.dead:,} dead do not make {one.stored:,} stored")
    if refused:
        found.append(f"the broker refused {refused:,} messages")
    if unanswered:
        found.append(f"the broker left {unanswered:,} messages without an acknowledgement")
    return found
