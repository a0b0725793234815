"""Whether a queue is claimed in order. The store knows it, so that all its processors do the same."""

from fmq.store.ordering import still_held
from fmq.store.postgres.queues import LOCK, Queues
from fmq.store.postgres.schema.tables import ordered_indexes
from fmq.store.postgres.server.session import Ask
from fmq.store.postgres.statements import statement

_MODE = "SELECT ordered FROM fmq_queue WHERE number = {q}"
_HELD = "SELECT count(*) FROM fmq_due_{q} WHERE token IS NOT NULL AND leased > {now}"


class DeliveryOrder:
    """The mode of each queue. The first claim decides it; afterwards only an operator changes it."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def mode(self, name: str) -> bool | None:
        """See Lending.ordered."""
        mode: bool | None = self._queues.registered(_MODE, name)[0]
        return mode

    def begin(self, name: str, *, ordered: bool) -> None:
        """Set the mode of a queue that was never claimed from, unless another claim was faster.

        The mode, and the indexes that ordered claims look into, are committed before any claim relies on them.
        """
        number = self._queues.number(name)

        def work(ask: Ask) -> None:
            ask(statement(LOCK, number), {})
            mode = ask(statement(_MODE, number), {})
            if not mode:
                raise self._queues.unknown(name)
            if mode[0][0] is None:
                self._set(ask, number, ordered=ordered)

        self._queues.session.interactive(work)

    def change(self, name: str, *, ordered: bool) -> None:
        """See Operating.set_order."""
        number = self._queues.number(name)

        def work(ask: Ask) -> None:
            ask(statement(LOCK, number), {})
            held = ask(statement(_HELD, number), {})[0][0]
            if held:
                raise still_held(name, held)
            self._set(ask, number, ordered=ordered)

        self._queues.session.interactive(work)

    def _set(self, ask: Ask, number: int, *, ordered: bool) -> None:
        ask(ordered_indexes(number, ordered=ordered), None)
        ask(
            b"UPDATE fmq_queue SET ordered = %(ordered)s WHERE number = %(number)s",
            {"ordered": ordered, "number": number},
        )
