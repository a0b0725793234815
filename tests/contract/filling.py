"""Filling a queue and looking at it, in a line."""

from fmq.message import Incoming
from fmq.store.roles import Store
from support.clock import FakeClock


def fill(queue: Store, clock: FakeClock, *payloads: str, name: str = "q", topic: str = "t") -> None:
    queue.put([Incoming(name, topic, payload.encode(), clock.wall()) for payload in payloads])


def payloads(queue: Store, limit: int = 100, *, lease: float = 60, ordered: bool = False) -> list[str]:
    return [claim.message.text for claim in queue.claim("q", limit, lease=lease, ordered=ordered)]


def figures(queue: Store, name: str = "q") -> tuple[int, int, int, int]:
    stats = queue.stats(name)
    return stats.pending, stats.claimed, stats.done, stats.dead
