"""Resolves host names without blocking a shutdown."""

import socket
import threading
from collections.abc import Callable
from typing import Any

from fmq.service.lifecycle import Shutdown

_WAIT_SECONDS = 10.0
_TICK_SECONDS = 0.05


class _Lookup:
    """One call of getaddrinfo in a thread: it can't be interrupted and may take a minute."""

    def __init__(self, host: str, port: int, lookup: Callable[..., object]) -> None:
        self.of = (host, port)
        self.error: Exception | None = None
        self.done = threading.Event()
        self._lookup = lookup
        threading.Thread(target=self._run, name="resolver", daemon=True).start()

    def _run(self) -> None:
        try:
            self._lookup(*self.of, type=socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - the waiting caller gets it
            self.error = error
        finally:
            self.done.set()


class Resolver:
    """Resolves a host name before a library does so in a thread that must not block."""

    def __init__(self, shutdown: Shutdown, *, lookup: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._shutdown = shutdown
        self._lookup = lookup
        self._pending: _Lookup | None = None

    def require(self, host: str, port: int, *, seconds: float = _WAIT_SECONDS) -> None:
        """Return once the name server has answered.

        Raises what getaddrinfo raises (OSError, or UnicodeError on a name that can't be one), and socket.gaierror if it
        does not answer within ``seconds``, or before the shutdown.
        """
        lookup = self._pending
        if lookup is None or lookup.of != (host, port):
            lookup = self._pending = _Lookup(host, port, self._lookup)
        left = seconds
        while not lookup.done.wait(_TICK_SECONDS):
            left -= _TICK_SECONDS
            if left <= 0 or self._shutdown.requested:
                raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time")
        self._pending = None
        if lookup.error is not None:
            raise lookup.error
