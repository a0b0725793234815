"""What the sessions of this process went through, for metrics."""

import threading


class Tally:
    """Counts what happened to all sessions. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reconnects = 0
        """Connections that replaced one that had ended."""
        self.retries = 0
        """Transactions that were run again after a deadlock."""

    def reconnected(self) -> None:
        with self._lock:
            self.reconnects += 1

    def retried(self) -> None:
        with self._lock:
            self.retries += 1


TALLY = Tally()
