"""Handlers of the chaos runs: they note what they got."""

import os
import time
from pathlib import Path

from chaos import points
from chaos.journal import Journal
from fmq import Message
from fmq.outcome import Retry

_JOURNAL = Journal(Path(os.environ.get("CHAOS_JOURNAL", "journal")))


def note(message: Message) -> None:
    """Done, and noted."""
    points.ACTIVE.hit("handle.before")
    _JOURNAL.handled(message.id, message.topic, message.payload)
    points.ACTIVE.hit("handle.after")


def note_or_fail(message: Message) -> None:
    """Every seventh message fails once before it is noted."""
    if message.id % 7 == 0 and message.retry_count == 0:
        raise Retry(after=0.01)
    note(message)


def note_slowly(message: Message) -> None:
    """A hundred messages take 50 ms at least."""
    if message.id % 100 == 0:
        time.sleep(0.05)
    note(message)


def note_for_a_while(message: Message) -> None:
    """Every 50th message takes longer than a lease of a second."""
    if message.id % 50 == 0:
        time.sleep(1.2)
    note(message)


def nothing(message: Message) -> None:
    """Done."""
    del message
