"""Picks the runner of a handler: threads for plain functions, an event loop for async ones."""

from fmq.handler import Handler
from fmq_processor.runners.event_loop import LoopRunner
from fmq_processor.runners.protocol import Bell, Runner
from fmq_processor.runners.threads import ThreadRunner


def make_runner(handler: Handler, *, concurrency: int, timeout: float, bell: Bell | None = None) -> Runner:
    """The runner that fits ``handler``. ``bell`` may be that of other runners too."""
    if handler.is_async:
        return LoopRunner(handler.handle, concurrency=concurrency, timeout=timeout, bell=bell)
    return ThreadRunner(handler.handle, concurrency=concurrency, bell=bell)
