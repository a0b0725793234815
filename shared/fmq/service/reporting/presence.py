"""How a service introduces itself in the store."""

import os
import socket
import time
from collections.abc import Callable, Mapping

import fmq
from fmq.service.http.health import Heartbeat
from fmq.store.records import ServiceReport


def process_name() -> str:
    """Host and process id."""
    return f"{socket.gethostname()}/{os.getpid()}"


class Presence:
    """Makes the reports of this process."""

    def __init__(self, kind: str, heartbeat: Heartbeat, state: Callable[[], Mapping[str, object]]) -> None:
        """``kind`` is listener or processor. ``state`` returns JSON for a page, from another thread, without blocking."""
        self._kind = kind
        self._heartbeat = heartbeat
        self._state = state
        self._started_at = time.time()

    @property
    def name(self) -> str:
        """The name of this service, unique among all services of a store."""
        return f"{self._kind} {process_name()}"

    def report(self) -> ServiceReport | None:
        """A report of this moment. None while the service's loop does not beat."""
        if not self._heartbeat.alive:
            return None
        host, pid = socket.gethostname(), os.getpid()
        return ServiceReport(self.name, self._kind, host, pid, fmq.__version__, self._started_at, self._state())
