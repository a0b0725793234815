"""Records what commands change in the store, so that others see who did it."""

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fmq.errors import QueueError
from fmq.store.roles import Audit


class Progress:
    """The number of messages that an action has changed so far."""

    def __init__(self, store: Audit, number: int) -> None:
        self._store = store
        self._number = number
        self.changed = 0

    def add(self, count: int) -> None:
        """Record that ``count`` more messages have changed."""
        if count:
            self.changed += count
            self._store.note_progress(self._number, changed=self.changed)

    def end(self) -> None:
        """Record that the action has ended."""
        self._store.end_action(self._number, changed=self.changed)


@contextmanager
def audited(store: Audit, kind: str, queue: str, selection: str = "") -> Iterator[Progress]:
    """Record an action from its start to its end. If it fails, the record shows how far it came."""
    progress = Progress(store, store.begin_action(actor=_actor(), kind=kind, queue=queue, selection=selection))
    try:
        yield progress
    finally:
        with suppress(QueueError):  # the error that ended the action says more
            progress.end()


def _actor() -> str:
    """The user and the host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
