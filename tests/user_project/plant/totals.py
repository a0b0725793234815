"""A batch handler of typed payloads."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

import fmq


class Total(BaseModel):
    """The payload."""

    kind: Literal["day", "hour"]
    kilowatts: float


@fmq.batch_handler
def handle(messages: Sequence[fmq.Message], totals: Sequence[Total]) -> list[bool | fmq.Retry]:
    """One result for each message."""
    return [_result(message, total) for message, total in zip(messages, totals, strict=True)]


def _result(message: fmq.Message, total: Total) -> bool | fmq.Retry:
    if message.properties.user("site") is None:
        return fmq.Retry(after=60, reason="the site is unknown")
    return total.kilowatts >= 0
