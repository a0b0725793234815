"""Notifies a service manager by systemd's protocol: sd_notify(3), sd_watchdog_enabled(3).

A datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``. No library: docs/adr/0014.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from typing import Self

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.threads import SupervisedThread
from fmq.text import plain

_log = logging.getLogger(__name__)
_PERIOD_SECONDS = 5.0
_PINGS = 4
"""Notifications per watchdog period: three may get lost."""
_START_SECONDS = 60.0
_STOP_MARGIN_SECONDS = 5.0
_SEND_SECONDS = 1.0


class ServiceManager:
    """The service manager that started this process. Absent without ``NOTIFY_SOCKET``."""

    def __init__(self, environ: MutableMapping[str, str], *, pid: int | None = None) -> None:
        """Removes the protocol's variables from ``environ``: they are not meant for child processes."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        limit, owner = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        mine = owner in ("", str(os.getpid() if pid is None else pid))
        self.watchdog_seconds = int(limit) / 1e6 if mine and limit.isdecimal() else None
        """How long the service may be silent; None: no limit."""

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send ``NAME=value`` lines. A failure is logged and does not stop the service."""
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_SEND_SECONDS)
                out.connect(address)
                out.send("\n".join(lines).encode())
        except OSError as error:
            _log.debug("Notifying the service manager failed: %s", error)


class Reporter:
    """A thread that repeatedly notifies a service manager: starting, ready, alive, stopping.

    Alive means the same as for ``/healthz``: the loop has beaten. Until the service is ready, it asks for more time while the
    loop beats. When it stops, it asks for the whole grace period. So the manager's own limits need not fit either.
    """

    def __init__(
        self,
        manager: ServiceManager,
        *,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
        grace: float,
        status: Callable[[], str],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``status`` returns one line about the service. It is called from a thread and must not block."""
        self._manager = manager
        self._heartbeat = heartbeat
        self._shutdown = shutdown
        self._grace = grace
        self._status = status
        self._clock = clock
        self._ready = False
        self._stop_by: float | None = None
        self._closed = threading.Event()
        self._thread = SupervisedThread(self._run, name="notify", shutdown=shutdown)

    def __enter__(self) -> Self:
        if self._manager.listens:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """The service stops, for whatever reason."""
        self._shutdown.request()
        self._closed.set()
        if self._manager.listens:
            self._thread.join()

    def ready(self) -> None:
        """The service has started."""
        self._ready = True
        if self._manager.listens:
            self._manager.tell(*self.lines())

    def lines(self) -> list[str]:
        """The lines to send now."""
        alive = self._heartbeat.alive
        if self._shutdown.requested:
            now = self._clock.steady()
            if self._stop_by is None:
                self._stop_by = now + self._grace + _STOP_MARGIN_SECONDS
            lines = ["STOPPING=1", "STATUS=stopping", _extend(self._stop_by - now)]
        elif self._ready:
            lines = ["READY=1", f"STATUS={plain(' '.join(self._status().split()))}"]
        else:
            lines = ["STATUS=starting", *([_extend(_START_SECONDS)] if alive else [])]
        return [*lines, "WATCHDOG=1"] if alive else lines

    def _run(self) -> None:
        period = min(_PERIOD_SECONDS, (self._manager.watchdog_seconds or _PERIOD_SECONDS * _PINGS) / _PINGS)
        while not self._closed.is_set():
            self._manager.tell(*self.lines())
            if self._shutdown.requested:
                self._closed.wait(period)
            else:
                self._shutdown.wait(period)


def _extend(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={max(1, round(seconds * 1e6))}"
