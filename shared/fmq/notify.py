"""Keeping a service manager informed by systemd's protocol: sd_notify(3), sd_watchdog_enabled(3).

A datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``. No library: docs/adr/0014.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from typing import Self

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.health import Heartbeat
from fmq.lifecycle import Shutdown
from fmq.threads import SupervisedThread

_log = logging.getLogger(__name__)
_PERIOD_SECONDS = 5.0
_PINGS = 4
"""In each watchdog period: three may get lost."""
_START_SECONDS = 60.0
_STOP_MARGIN_SECONDS = 5.0
_SEND_SECONDS = 1.0


class ServiceManager:
    """What started this process and wants to be told how it is; nobody, without ``NOTIFY_SOCKET``."""

    def __init__(self, environ: MutableMapping[str, str], *, pid: int | None = None) -> None:
        """Takes the protocol's variables out of ``environ``: they are not meant for child processes."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        limit, owner = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        mine = owner in ("", str(os.getpid() if pid is None else pid))
        self.watchdog_seconds = int(limit) / 1e6 if mine and limit.isdecimal() else None
        """How long the service may be silent; None: as long as it likes."""

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send ``NAME=value`` lines. A manager that does not take them is no reason to stop working."""
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_SEND_SECONDS)
                out.connect(address)
                out.send("\n".join(lines).encode())
        except OSError as error:
            _log.debug("The service manager was not told: %s", error)


class Reporter:
    """A thread that tells a service manager, again and again: starting, ready, alive, stopping.

    Alive means what ``/healthz`` means: the loop has beaten. Not ready yet, it asks for more time while the loop beats, and
    when it stops it asks for the whole grace period, so that the manager's own limits need not know of either.
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
        """``status`` says in a line what the service does; it is asked from a thread, and must not wait for anything."""
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
        """The service ends, whatever the reason."""
        self._shutdown.request()
        self._closed.set()
        if self._manager.listens:
            self._thread.join()

    def ready(self) -> None:
        """The service is started."""
        self._ready = True
        if self._manager.listens:
            self._manager.tell(*self.lines())

    def lines(self) -> list[str]:
        """What there is to tell now."""
        alive = self._heartbeat.alive
        if self._shutdown.requested:
            now = self._clock.steady()
            if self._stop_by is None:
                self._stop_by = now + self._grace + _STOP_MARGIN_SECONDS
            lines = ["STOPPING=1", "STATUS=stopping", _extend(self._stop_by - now)]
        elif self._ready:
            lines = ["READY=1", f"STATUS={' '.join(self._status().split())}"]
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
