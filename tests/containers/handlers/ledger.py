"""Handlers of the container tests. Each notes the payloads of the messages that it has handled, one per line."""

import os
import time
from pathlib import Path

from fmq import Message, Reject

_LEDGER = Path("/data/handled")
_SLOW_SECONDS = 0.05


def handle(message: Message) -> None:
    """Note it, unless its payload asks for another end."""
    if message.payload == b"reject":
        raise Reject("its payload says so")
    note(message.payload)


def slow(message: Message) -> None:
    """Note it after work that takes a while."""
    time.sleep(_SLOW_SECONDS)
    note(message.payload)


def note(payload: bytes) -> None:
    """Append a line, in one write, so that the lines of many processors never mix."""
    ledger = os.open(_LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o660)
    try:
        os.write(ledger, payload + b"\n")
    finally:
        os.close(ledger)
