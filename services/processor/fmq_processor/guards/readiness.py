"""The readiness of a processor."""

import threading
from collections.abc import Mapping

from fmq.errors import QueueError
from fmq.service.http.health import Checks
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store import roles
from fmq_processor.guards.circuit_report import CircuitReport


class Readiness:
    """Whether the store can be written and the handler is set up. Uses its own connection, for any thread."""

    def __init__(self, store: roles.Upkeep, circuit: CircuitReport, commit: CommitWatch) -> None:
        self._store = store
        self._commit = commit
        self._circuit = circuit
        self._lock = threading.Lock()
        self._handler_ready = False

    def handler_is_ready(self) -> None:
        self._handler_ready = True

    def checks(self) -> Checks:
        return {
            "store": self._problem() or self._commit.problem,
            "handler": None if self._handler_ready else "is being set up",
        }

    def notes(self) -> Mapping[str, str]:
        """Additional text. An open circuit breaker makes a processor neither unready nor due for a restart."""
        return {"circuit": self._circuit.note}

    def _problem(self) -> str | None:
        try:
            with self._lock:
                self._store.probe()
        except QueueError as error:
            return str(error)
        return None
