"""The readiness of a processor."""

import threading
from collections.abc import Callable

from fmq.errors import QueueError
from fmq.service.http.health import Checks
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store import roles


class Readiness:
    """Whether the store can be written and the handlers are set up. Uses its own connection, for any thread."""

    def __init__(self, store: roles.Upkeep, commit: CommitWatch, handlers: Callable[[], Checks]) -> None:
        """``handlers`` returns the checks of the handlers."""
        self._store = store
        self._commit = commit
        self._handlers = handlers
        self._lock = threading.Lock()

    def checks(self) -> Checks:
        return {"store": self._problem() or self._commit.problem, **self._handlers()}

    def _problem(self) -> str | None:
        try:
            with self._lock:
                self._store.probe()
        except QueueError as error:
            return str(error)
        return None
