"""The handler that the processor is measured with: it does nothing."""

import os
import time
from pathlib import Path

from fmq import Message


def setup() -> None:
    """Note the time just before the first claim."""
    Path(os.environ["BENCH_BEGAN"]).write_text(repr(time.time()), encoding="ascii")


def handle(_message: Message) -> None:
    """Done."""
