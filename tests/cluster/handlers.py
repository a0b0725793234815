"""The handler of the cluster's runs: it notes what it got."""

import os
import time
from pathlib import Path

from fmq import Message

_JOURNAL = os.open(os.environ.get("CLUSTER_JOURNAL", "handled"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def note(message: Message) -> None:
    """Done, and noted."""
    os.write(_JOURNAL, message.payload.partition(b".")[0] + b"\n")


def note_at_gate(message: Message) -> None:
    """The same, not before a file exists."""
    gate = Path(os.environ["CLUSTER_GATE"])
    while not gate.exists():
        time.sleep(0.02)
    note(message)
