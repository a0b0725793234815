"""Whether other connections have committed, for all routes of a processor: the store tells each change only once."""

from fmq.errors import StoreUnavailable
from fmq.store.roles import Lending


class Changes:
    """Counts the changes of the store."""

    def __init__(self, store: Lending) -> None:
        self._store = store
        self._count = 0

    def count(self) -> int:
        """A number that is another one after each change. Takes microseconds."""
        try:
            self._count += self._store.wait(0)
        except StoreUnavailable:
            self._count += 1  # the next claim meets the same fault, and the gate reports it
        return self._count
