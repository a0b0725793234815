"""The handlers that processors are measured with."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from fmq import Message, Unavailable, batch_handler


def setup() -> None:
    """Note the time just before the first claim."""
    if where := os.environ.get("BENCH_BEGAN"):
        Path(where).write_text(repr(time.time()), encoding="ascii")


def nothing(_message: Message) -> None:
    """Done."""


async def nothing_async(_message: Message) -> None:
    """Done, in an event loop."""


@batch_handler
def nothing_at_all(_messages: Sequence[Message]) -> None:
    """Done, a batch at a time."""


async def wait_50_ms(_message: Message) -> None:
    """As a slow service would."""
    await asyncio.sleep(0.05)


@batch_handler
def wait_10_ms(_messages: Sequence[Message]) -> None:
    """As a service that takes batches."""
    time.sleep(0.01)


def note_delay(message: Message) -> None:
    """Write down how long ago the message was published."""
    delay = time.time() - float(message.payload)
    with Path(os.environ["BENCH_DELAYS"]).open("a", encoding="ascii") as out:
        out.write(f"{delay!r}\n")


def hang(_message: Message) -> None:
    """Never done."""
    threading.Event().wait()


def fail(_message: Message) -> None:
    """As a service that is down."""
    raise Unavailable(reason="it is down")


def note_if_timed(message: Message) -> None:
    """Done at once; a payload that is a time is noted as by ``note_delay``."""
    if not message.payload.startswith(b"{"):
        note_delay(message)
