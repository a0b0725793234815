"""A handler's set-up and tear-down: once a process, where the handler runs."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fmq.errors import FmqError
from fmq_processor.runners.protocol import Runner

_log = logging.getLogger(__name__)
_TICK = 0.05


class SetupFailed(FmqError):
    """The handler's setup failed."""


def set_up(runner: Runner, hook: Callable[[], Any] | None, *, keep_waiting: Callable[[], bool]) -> bool:
    """Run ``setup``. Returns whether it came to its end; it is asked ``keep_waiting`` now and then.

    Raises SetupFailed, or the handler's own FmqError.
    """
    if hook is None:
        return True
    future = runner.call(hook)
    if not _ended(future, keep_waiting):
        return False
    error = future.exception()
    if isinstance(error, FmqError):
        raise error  # it says in words what is wrong
    if error is not None:
        _log.error("The handler's setup failed", exc_info=error)
        raise SetupFailed(f"the handler's setup failed: {type(error).__name__}: {error}") from error
    return True


def tear_down(runner: Runner, hook: Callable[[], Any] | None, *, keep_waiting: Callable[[], bool]) -> bool:
    """Run ``teardown``. Returns whether it succeeded; what was wrong is in the log."""
    if hook is None:
        return True
    future = runner.call(hook)
    if not _ended(future, keep_waiting):
        _log.error("The handler's teardown took too long")
        return False
    error = future.exception()
    if error is not None:
        _log.error("The handler's teardown failed", exc_info=error)
    return error is None


def _ended(future: Future[None], keep_waiting: Callable[[], bool]) -> bool:
    while not future.done():
        try:
            future.exception(timeout=_TICK)
        except TimeoutError:
            if not keep_waiting():
                return future.done()
    return True
