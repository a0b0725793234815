"""Whether a queue is claimed in order: known to the store, so that all its processors do the same."""

from fmq.errors import QueueError, WrongOrder
from fmq.sqlite import schema
from fmq.sqlite.connection import Store

_CALLED = {True: "in order", False: "without order"}
_SETTING = {True: "true", False: "false"}
_WORD = {True: "on", False: "off"}


class Order:
    """The mode of each queue. The first claim decides it, and from then on only an operator changes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, name: str, *, ordered: bool) -> None:
        """Have a queue that nobody has claimed from claimed this way. Raises WrongOrder if another one came first.

        The mode, and the indexes that ordered claims look into, are committed before any claim relies on them.
        """
        with self._store.write():
            mode = self.mode(name)
            if mode is None:
                self._change(name, ordered=ordered)
        if mode not in (None, ordered):
            raise wrong_order(name, ordered=ordered)

    def mode(self, name: str) -> bool | None:
        """See Queue.ordered."""
        self._store.bare_table(name)
        with self._store.read():
            mode = self._store.rows("SELECT ordered FROM fmq_queue WHERE name = ?", (name,))[0][0]
        return None if mode is None else mode == 1

    def change(self, name: str, *, ordered: bool) -> None:
        """See Queue.set_order."""
        with self._store.write():
            out = self._store.rows(
                f"SELECT count(*) FROM {self._store.lent(name)} WHERE token IS NOT NULL AND due_at > ?",
                (self._store.now(),),
            )[0][0]
            if out:
                raise QueueError(
                    f"Processors hold {out} messages of {name!r}: stop them, and try again when these are settled or their "
                    "leases have ended"
                )
            self._change(name, ordered=ordered)

    def _change(self, name: str, *, ordered: bool) -> None:
        make = schema.make_ordered if ordered else schema.make_unordered
        make(self._store.sql, self._store.bare_table(name))
        self._store.rows("UPDATE fmq_queue SET ordered = ? WHERE name = ?", (ordered, name))


def wrong_order(name: str, *, ordered: bool) -> WrongOrder:
    """The error of a claim of the one kind that finds a queue of the other."""
    return WrongOrder(
        f"The queue {name!r} is delivered {_CALLED[not ordered]}, and this processor has FMQ_ORDERED={_SETTING[ordered]}. "
        f"Set FMQ_ORDERED={_SETTING[not ordered]}, or stop the processors of the queue and change it: "
        f"fmq order {name!r} {_WORD[ordered]}"
    )
