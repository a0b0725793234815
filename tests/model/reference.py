"""What the store is compared with: its messages and counters, in plain dictionaries."""

from dataclasses import dataclass, field

QUEUES = ("a/b", "a_b")


@dataclass
class Row:
    """What the reference knows of one message."""

    topic: str
    state: str = "pending"
    due: float = 0.0  # pending: when it may be claimed; claimed: when its lease ends
    failed: int = 0
    token: int | None = None
    route: str | None = None
    """Pending: the route that may claim it before it is due."""
    died: bool = False
    """Whether the last attempt ended with the death of its worker."""
    kept: int = 0
    """Failed attempts that the store keeps."""
    changed: float | None = 0.0
    """As retention sees it, by the steady clock: when it was received, and then settled. None: somebody inserted it by hand."""


@dataclass
class Totals:
    """How often something happened in a queue."""

    stored: int = 0
    handled: int = 0
    failed: int = 0
    died: int = 0


@dataclass
class Reference:
    """The states of all messages, and how they change."""

    rows: dict[str, dict[int, Row]] = field(default_factory=lambda: {name: {} for name in QUEUES})
    totals: dict[str, Totals] = field(default_factory=lambda: {name: Totals() for name in QUEUES})
    last: dict[str, int] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0))

    def add(self, name: str, topic: str, now: float) -> None:
        self.last[name] += 1
        self.totals[name].stored += 1
        self.rows[name][self.last[name]] = Row(topic, due=now, changed=now)

    def figures(self, name: str) -> tuple[int, int, int, int]:
        states = [row.state for row in self.rows[name].values()]
        return states.count("pending"), states.count("claimed"), states.count("done"), states.count("dead")

    def claimable(self, name: str, now: float, route: str | None = None) -> dict[int, Row]:
        return {
            number: row
            for number, row in self.rows[name].items()
            if row.state in ("pending", "claimed") and (row.due <= now or (row.route and row.route == route))
        }

    def heads(self, name: str, now: float, route: str | None = None) -> set[int]:
        """What may be lent in order: the oldest unsettled one of each topic of which none is lent."""
        heads: dict[str, int] = {}
        lent: set[str] = set()
        for number, row in sorted(self.rows[name].items()):
            if row.state in ("pending", "claimed"):
                heads.setdefault(row.topic, number)
            if row.state == "claimed" and row.due > now:
                lent.add(row.topic)
        return {n for topic, n in heads.items() if topic not in lent} & set(self.claimable(name, now, route))
