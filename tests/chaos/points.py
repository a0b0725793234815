"""Fail points: named moments in a process at which it is killed, ended or stopped.

They are put around fmq's methods from outside, by the entry point of the chaos runs; fmq itself contains none of it.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

LISTENER: Sequence[str] = (
    "received",
    "put.before",
    "put.commit",
    "put.after",
    "puback.before",
    "puback.after",
)
"""From receipt to PUBACK, in this order. ``.commit`` is within the transaction, when all is written but the commit."""

PROCESSOR: Sequence[str] = (
    "claim.before",
    "claim.commit",
    "claim.after",
    "handle.before",
    "handle.after",
    "settle.before",
    "settle.commit",
    "settle.after",
)
"""From claim to settlement, in this order."""


@dataclass(frozen=True, slots=True)
class Point:
    """What happens (``signal``: KILL, TERM or STOP) when ``name`` is passed for the ``turn``-th time."""

    name: str
    turn: int
    signal: str


class Points:
    """Counts how often the point is passed, and strikes."""

    def __init__(self, point: Point | None = None) -> None:
        self._point = point
        self._left = point.turn if point else 0

    def hit(self, name: str) -> None:
        """``name`` is passed."""
        point = self._point
        if point is None or name != point.name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.Signals[f"SIG{point.signal}"])


ACTIVE = Points()
"""Those of this process; the entry point sets them."""


def activate(point: Point) -> None:
    """Let this process be struck at ``point``."""
    ACTIVE._point, ACTIVE._left = point, point.turn
