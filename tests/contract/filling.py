"""Filling a queue and looking at it, in a line."""

from fmq.message import Incoming
from fmq.queue import Queue
from support.clock import FakeClock


def fill(queue: Queue, clock: FakeClock, *payloads: str, name: str = "q", topic: str = "t") -> None:
    queue.put([Incoming(name, topic, payload.encode(), clock.wall()) for payload in payloads])


def payloads(queue: Queue, limit: int = 100, *, lease: float = 60, ordered: bool = False) -> list[str]:
    return [claim.message.text for claim in queue.claim("q", limit, lease=lease, ordered=ordered)]


def figures(queue: Queue, name: str = "q") -> tuple[int, int, int, int]:
    stats = queue.stats(name)
    return stats.pending, stats.claimed, stats.done, stats.dead
