"""What goes from the wire to the store."""

from dataclasses import dataclass, field

from fmq.message import Incoming


@dataclass(slots=True)
class Batch:
    """What was read from one connection, in order of arrival.

    ``packet_ids`` are to be acknowledged once ``messages`` are stored. There may be more messages than ids (QoS 0, or
    several queues for one packet) or fewer (``unroutable`` holds the topics of what belongs to no queue). ``size`` is in
    bytes, ``packets`` counts PUBLISH packets. ``completions`` are packet ids of QoS 2, which comes only where somebody
    else had made the session.
    ``marks``, where they are wanted, are those of each packet of QoS 1: its id, whether it has the DUP flag, where its
    messages begin, and how many they are.
    """

    generation: int
    messages: list[Incoming] = field(default_factory=list)
    packet_ids: list[int] = field(default_factory=list)
    unroutable: list[str] = field(default_factory=list)
    completions: list[int] = field(default_factory=list)
    size: int = 0
    packets: int = 0
    marks: list[tuple[int, bool, int, int]] = field(default_factory=list)

    @property
    def owed(self) -> int:
        """How many acknowledgements it needs."""
        return len(self.packet_ids) + len(self.completions)

    def __bool__(self) -> bool:
        return self.packets > 0
