"""What /readyz tells of a processor."""

import threading
from collections.abc import Mapping

from fmq.errors import QueueError
from fmq.health import Checks
from fmq.queue import Queue
from fmq_processor.circuit import CircuitReport


class Readiness:
    """Whether the store can be written and the handler is set up. Has a connection of its own, for any thread."""

    def __init__(self, queue: Queue, circuit: CircuitReport) -> None:
        self._queue = queue
        self._circuit = circuit
        self._lock = threading.Lock()
        self._handler_ready = False

    def handler_is_ready(self) -> None:
        self._handler_ready = True

    def checks(self) -> Checks:
        return {"store": self._store(), "handler": None if self._handler_ready else "is being set up"}

    def notes(self) -> Mapping[str, str]:
        """What is shown beside the checks. An open circuit is no reason to be restarted or to be taken for not ready."""
        return {"circuit": self._circuit.note}

    def _store(self) -> str | None:
        try:
            with self._lock:
                self._queue.probe()
        except QueueError as error:
            return str(error)
        return None
