"""Whether a queue is claimed in order. The store knows it, so that all its processors do the same."""

from fmq.store.ordering import still_held, wrong_order
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.schema import tables


class DeliveryOrder:
    """The mode of each queue. The first claim decides it; afterwards only an operator changes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, *, ordered: bool) -> None:
        """Set the mode of a queue that was never claimed from. Raises WrongOrder if another claim was faster.

        The mode, and the indexes that ordered claims look into, are committed before any claim relies on them.
        """
        with self._database.write():
            mode = self.mode(name)
            if mode is None:
                self._change(name, ordered=ordered)
        if mode not in (None, ordered):
            raise wrong_order(name, ordered=ordered)

    def mode(self, name: str) -> bool | None:
        """See Lending.ordered."""
        with self._database.read():
            (mode,) = self._database.of_queue(name, "ordered")
        return None if mode is None else mode == 1

    def change(self, name: str, *, ordered: bool) -> None:
        """See Operating.set_order."""
        with self._database.write():
            out = self._database.rows(
                f"SELECT count(*) FROM {self._database.lent(name)} WHERE token IS NOT NULL AND due_at > ?",
                (self._database.now(),),
            )[0][0]
            if out:
                raise still_held(name, out)
            self._change(name, ordered=ordered)

    def _change(self, name: str, *, ordered: bool) -> None:
        make = tables.make_ordered if ordered else tables.make_unordered
        make(self._database.sql, self._database.bare_table(name))
        self._database.rows("UPDATE fmq_queue SET ordered = ? WHERE name = ?", (ordered, name))
