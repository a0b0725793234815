"""Starting and stopping: signals become a flag that loops look at and can wait for."""

import logging
import signal
import socket
import threading
from types import FrameType

_log = logging.getLogger(__name__)


class Shutdown:
    """Set once by SIGTERM or SIGINT (or ``request``). ``fileno`` becomes readable then, for select loops."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def install(self) -> None:
        """Handle SIGTERM and SIGINT. To be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._event.is_set():
            _log.info("Received signal %d, shutting down gracefully...", number)
        self.request()

    def request(self) -> None:
        """Ask for the shutdown; from any thread, any number of times."""
        if not self._event.is_set():
            self._event.set()
            self._writer.send(b"x")

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds``; True as soon as the shutdown is requested."""
        return self._event.wait(seconds)

    def fileno(self) -> int:
        return self._reader.fileno()

    def close(self) -> None:
        """Close the pair of sockets behind ``fileno``."""
        self._reader.close()
        self._writer.close()
