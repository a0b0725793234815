"""How much a worker holds, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a worker holds, and for how long. ``timeout`` and ``grace`` in seconds; a timeout of 0 is none."""

    batch: int = 10
    concurrency: int = 1
    most_bytes: int = 64 * 1024 * 1024
    is_batch: bool = False
    lease: float = 60.0
    timeout: float = 30.0
    grace: float = 30.0
    ordered: bool = False

    @property
    def capacity(self) -> int:
        """The maximum number of messages in hand: enough for a claim and for all concurrent calls."""
        return self.batch * self.concurrency if self.is_batch else max(self.batch, self.concurrency)
