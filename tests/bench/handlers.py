"""The handlers that processors are measured with."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from fmq import Message, batch_handler


def setup() -> None:
    """Note the time just before the first claim."""
    if where := os.environ.get("BENCH_BEGAN"):
        Path(where).write_text(repr(time.time()), encoding="ascii")


def nothing(_message: Message) -> None:
    """Done."""


@batch_handler
def nothing_at_all(_messages: Sequence[Message]) -> None:
    """Done, a batch at a time."""


async def wait_50_ms(_message: Message) -> None:
    """As a slow service would."""
    await asyncio.sleep(0.05)


def note_delay(message: Message) -> None:
    """Write down how long ago the message was published."""
    delay = time.time() - float(message.payload)
    with Path(os.environ["BENCH_DELAYS"]).open("a", encoding="ascii") as out:
        out.write(f"{delay!r}\n")
