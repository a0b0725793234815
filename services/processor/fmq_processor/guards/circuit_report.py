"""Reports a circuit breaker: a log line per change, metrics, and a note for /readyz."""

import logging

from fmq.message import Message
from fmq.service.log import shorten
from fmq.service.metrics import ProcessorMetrics

_log = logging.getLogger(__name__)


class CircuitReport:
    """Observes the Breaker of a route."""

    def __init__(self, metrics: ProcessorMetrics, route: str) -> None:
        self._open = metrics.circuit_open.labels(route)
        self._openings = metrics.circuit_openings.labels(route)
        self._probes = metrics.circuit_probes.labels(route)
        self.note = "closed"
        """For any thread to read."""

    def opened(self, reason: str, probe_in: float) -> None:
        self._open.set(1)
        self._openings.inc()
        self.note = f"open: {_first_line(reason)}"
        _log.error("The handler's target seems to be down; next attempt in %.1f s: %s", probe_in, _first_line(reason))

    def probing(self, message: Message) -> None:
        self._probes.inc()
        _log.debug("Trying message %d of %s", message.id, shorten(message.queue))

    def probed(self, reason: str, probe_in: float) -> None:
        self.note = f"open: {_first_line(reason)}"
        _log.debug("The handler's target is still down; next attempt in %.1f s: %s", probe_in, _first_line(reason))

    def closed(self, seconds: float) -> None:
        self._open.set(0)
        self.note = "closed"
        _log.info("The handler's target is back after %.1f s", seconds)


def _first_line(reason: str) -> str:
    return shorten(reason.partition("\n")[0])
