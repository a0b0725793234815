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


def begin(runner: Runner, hook: Callable[[], Any] | None) -> Future[None]:
    """Start a set-up or tear-down where the handler runs. Without one it has ended at once."""
    if hook is not None:
        return runner.call(hook)
    nothing: Future[None] = Future()
    nothing.set_result(None)
    return nothing


def require_setup(future: Future[None]) -> None:
    """Raise what a set-up that has ended raised: SetupFailed, or the handler's own FmqError."""
    error = future.exception()
    if isinstance(error, FmqError):
        raise error  # it says in words what is wrong
    if error is not None:
        _log.error("The handler's setup failed", exc_info=error)
        raise SetupFailed(f"the handler's setup failed: {type(error).__name__}: {error}") from error


def has_torn_down(future: Future[None]) -> bool:
    """Whether a tear-down has succeeded; what was wrong is in the log."""
    if not future.done():
        _log.error("The handler's teardown took too long")
        return False
    error = future.exception()
    if error is not None:
        _log.error("The handler's teardown failed", exc_info=error)
    return error is None


def set_up(runner: Runner, hook: Callable[[], Any] | None, *, keep_waiting: Callable[[], bool]) -> bool:
    """Run ``setup``. Returns whether it came to its end; it is asked ``keep_waiting`` now and then.

    Raises SetupFailed, or the handler's own FmqError.
    """
    future = begin(runner, hook)
    if not _ended(future, keep_waiting):
        return False
    require_setup(future)
    return True


def tear_down(runner: Runner, hook: Callable[[], Any] | None, *, keep_waiting: Callable[[], bool]) -> bool:
    """Run ``teardown``. Returns whether it succeeded; what was wrong is in the log."""
    future = begin(runner, hook)
    _ended(future, keep_waiting)
    return has_torn_down(future)


def _ended(future: Future[None], keep_waiting: Callable[[], bool]) -> bool:
    while not future.done():
        try:
            future.exception(timeout=_TICK)
        except TimeoutError:
            if not keep_waiting():
                return future.done()
    return True
