"""Picks the runner of a handler: threads for plain functions, an event loop for async ones."""

from fmq.handler import Handler
from fmq_processor.runners.event_loop import LoopRunner
from fmq_processor.runners.protocol import Runner
from fmq_processor.runners.threads import ThreadRunner


def make_runner(handler: Handler, *, concurrency: int, timeout: float) -> Runner:
    """The runner that fits ``handler``."""
    if handler.is_async:
        return LoopRunner(handler.handle, concurrency=concurrency, timeout=timeout)
    return ThreadRunner(handler.handle, concurrency=concurrency)
