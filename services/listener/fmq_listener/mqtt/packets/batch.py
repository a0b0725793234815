"""A batch of messages on its way from the connection to the store."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fmq.message import Incoming


class Oversized(NamedTuple):
    """A PUBLISH that was passed over because of its ``size`` in bytes."""

    topic: str
    size: int
    qos: int


class Quarantined(NamedTuple):
    """A message that is stored as a dead letter, and why."""

    topic: str
    reason: str


@dataclass(slots=True)
class Batch:
    """What was read from one connection, in order of arrival.

    ``packet_ids`` are acknowledged once ``messages`` are stored; those of QoS 2 have ``decoder.RECEIVED`` set. There
    may be more messages than ids (QoS 0, or several queues for one packet) or fewer (QoS 2 once more). ``size`` is in bytes
    of memory, ``packets`` counts PUBLISH and PUBREL packets. ``unroutable`` holds topic and queue of what matches no topic
    filter, ``quarantined`` what is stored as a dead letter, ``oversized`` what is neither stored nor acknowledged.
    ``received``, of QoS 2: a digest for each packet id that came, None for each that was released. ``completions``:
    packet ids that were released, and whether they were known.
    ``marks``, where they are wanted, are those of each packet of QoS 1 and 2: its id, whether it has the DUP flag, where its
    messages begin, and how many they are.
    """

    generation: int
    messages: list[Incoming] = field(default_factory=list)
    packet_ids: list[int] = field(default_factory=list)
    unroutable: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    oversized: list[Oversized] = field(default_factory=list)
    received: dict[int, bytes | None] = field(default_factory=dict)
    completions: list[tuple[int, bool]] = field(default_factory=list)
    size: int = 0
    packets: int = 0
    marks: list[tuple[int, bool, int, int]] = field(default_factory=list)

    @property
    def redelivered(self) -> Iterator[Incoming]:
        """The messages whose packets have the DUP flag, as far as there are ``marks``."""
        for _, has_dup, start, count in self.marks:
            if has_dup:
                yield from self.messages[start : start + count]

    @property
    def owed(self) -> int:
        """How many acknowledgements it needs."""
        return len(self.packet_ids) + len(self.completions)

    def __bool__(self) -> bool:
        return self.packets > 0 or bool(self.oversized)
