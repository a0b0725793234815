"""Shutdown: signals set a flag that loops check and can wait for."""

import logging
import select
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType

_log = logging.getLogger(__name__)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Set once by SIGTERM or SIGINT (or ``request``). ``fileno`` becomes readable then, for select loops.

    A signal handler runs between any two steps of the main thread, even while that thread holds a lock. So it takes no lock:
    it sets a flag and writes to a socket. The main thread logs the signal, since a daemon thread might end before its line is
    written.
    """

    def __init__(self) -> None:
        self._requested = False
        self._received: int | None = None
        self._announced = False
        self._main = threading.get_ident()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self.failure: str | None = None
        """The reason if the service has to end with a failure."""

    def install(self) -> None:
        """Handle SIGTERM and SIGINT. Call it in the main thread."""
        self._main = threading.get_ident()
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._received = self._received or number
        self.request()

    @property
    def received(self) -> int | None:
        """The number of the signal that came first; None if none came."""
        return self._received

    def request(self) -> None:
        """Request the shutdown, from any thread, any number of times."""
        if not self._requested:
            self._requested = True
            with suppress(OSError):  # closed already
                self._writer.send(b"x")

    def fail(self, why: str) -> None:
        """Request the shutdown because of a fault. The first reason counts."""
        if self.failure is None:
            self.failure = why
        self.request()

    @property
    def requested(self) -> bool:
        if self._requested:
            self._announce()
        return self._requested

    def wait(self, seconds: float | None) -> bool:
        """Wait up to ``seconds`` (None: forever). Returns True as soon as the shutdown is requested."""
        if not self._requested:
            waiting = select.poll()
            waiting.register(self._reader, select.POLLIN)
            waiting.poll(None if seconds is None else seconds * 1000)
        return self.requested

    def _announce(self) -> None:
        if self._received and not self._announced and threading.get_ident() == self._main:
            self._announced = True
            _log.info("Received signal %d, shutting down gracefully...", self._received)

    def fileno(self) -> int:
        return self._reader.fileno()

    def close(self) -> None:
        """Close the pair of sockets behind ``fileno``."""
        self._reader.close()
        self._writer.close()
