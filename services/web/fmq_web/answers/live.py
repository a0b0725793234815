"""The events of the live stream. The name of each event is in its docstring.

Besides those here: ``workers`` is Services, ``operation`` is an OperationView that is new or has changed, and ``bye``, the last
event before the server stops, has no data.

All figures are absolute, so a client that misses an event is right again after the next one. A client that connects again gets
a new ``state``.
"""

from fmq_web.answers.activity import OperationView, ServiceView
from fmq_web.answers.base import Answer
from fmq_web.answers.queues import Counts, Need, StoreSizes


class LiveSummary(Answer):
    """What an overview says of all queues together (see Overview)."""

    summary: str
    detail: str
    needs: list[Need]
    sizes: StoreSizes
    total_stored: int


class LiveState(Answer):
    """Event ``state``: everything. The first event, and again after queues were deleted or after a problem."""

    version: str
    """Of fmq. A page that came from another version should be loaded again."""
    at: float
    queues: list[Counts]
    services: list[ServiceView]
    operations: list[OperationView]
    whole: LiveSummary


class LiveTick(Answer):
    """Event ``tick``: the queues whose figures changed, at most once a second."""

    at: float
    queues: list[Counts]
    whole: LiveSummary | None
    """None if it has not changed."""


class LiveProblem(Answer):
    """Event ``problem``: the store can't be read. The next ``state`` ends it."""

    detail: str
    at: float | None
    """When the last figures were read, in Unix time; None if there are none."""
