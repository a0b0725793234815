"""Long commands: a signal ends them between two steps, and they say how far they got."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmq.errors import Stopped
from fmq.service.lifecycle import STOP_SIGNALS, Shutdown


class Stop:
    """Whether a signal has asked the command to stop. ``report`` returns how far it has got."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self.report: Callable[[], str] = lambda: "Nothing was changed"

    def check(self) -> None:
        """Call it between two steps. Raises Stopped."""
        if self._shutdown.requested:
            number = self._shutdown.received or signal.SIGINT
            raise Stopped(number, f"Stopped by {signal.Signals(number).name}. {self.report()}")

    def wait(self, seconds: float) -> None:
        """Sleep, but not longer than until a signal comes. Raises Stopped then."""
        self._shutdown.wait(seconds)
        self.check()


@contextmanager
def stoppable(report: Callable[[], str] | None = None) -> Iterator[Stop]:
    """From now on SIGINT and SIGTERM end the command at its next ``check``. Outside, they end it at once, as usual."""
    shutdown = Shutdown()
    stop = Stop(shutdown)
    if report is not None:
        stop.report = report
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        shutdown.install()
    try:
        yield stop
    finally:
        if is_main:
            for number, handler in before.items():
                signal.signal(number, handler)
        shutdown.close()
