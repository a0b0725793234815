"""The store's upkeep, beside the intake: retention, giving space back, and trying whether it can be written."""

import logging
import threading

from fmq.errors import QueueError
from fmq.lifecycle import Shutdown
from fmq.queue import Queue, Retention

_log = logging.getLogger(__name__)
_REST_SECONDS = 1.0
_PROBE_EVERY = 5
_BREATH_SECONDS = 0.02


class Upkeep:
    """A thread with a connection of its own. Steps are short, with breaks in which others may write."""

    def __init__(self, queue: Queue, retention: Retention, shutdown: Shutdown) -> None:
        self._queue = queue
        self._retention = retention
        self._shutdown = shutdown
        self._rounds = 0
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self.problem: str | None = None

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until the shutdown has reached it."""
        self._thread.join()

    def _run(self) -> None:
        while not self._shutdown.wait(_REST_SECONDS):
            try:
                self._round()
            except QueueError as error:
                if self.problem is None:
                    _log.warning("Upkeep of the store pauses: %s", error)
                self.problem = str(error)
            else:
                if self.problem is not None:
                    _log.info("Upkeep of the store goes on")
                self.problem = None

    def _round(self) -> None:
        if self._rounds % _PROBE_EVERY == 0 or self.problem is not None:
            self._queue.probe()
        self._rounds += 1
        while self._queue.maintain(self._retention) and not self._shutdown.wait(_BREATH_SECONDS):
            pass
