"""What moves messages between queues, with all that a store keeps of them."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from fmq.message import Receipt
from fmq.store.records import StoredMessage
from fmq.store.selection import State
from model.operators import OperatedStore
from model.reference import QUEUES, Row
from model.services import CONNECTIONS

_MOST_BYTES = 2**30
_SURELY_DUE = 0.01
"""Seconds. The times of a message are in Unix time on their way, with a rounding error."""
_STATES = (State.PENDING, State.CLAIMED, State.DONE, State.DEAD)


class MovedStore(OperatedStore):
    """Messages are taken from a queue and placed in another one, or in the same one."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = 0

    @rule(
        who=st.permutations(range(CONNECTIONS)),
        source=st.sampled_from(QUEUES),
        goal=st.sampled_from(QUEUES),
        state=st.sampled_from(_STATES),
        limit=st.integers(1, 3),
    )
    def move(self, who: list[int], source: str, goal: str, state: State, limit: int) -> None:
        """State, times and attempts go with them, each once however often it is placed; a claim that is held stays."""
        taker, placer = (self.connections[one] for one in who[:2])
        rows = self.reference.rows[source]
        held = [n for n, row in rows.items() if row.state == "claimed" and row.due > self.now]
        wanted = [n for n, row in sorted(rows.items()) if row.state == state and self._may_move(row)][:limit]
        if not wanted:
            assert not taker.take(source, held, state=state, most_bytes=_MOST_BYTES, keep=self._receipt)
            return
        self.moves += 1
        taken = taker.take(source, [*held, *wanted], state=state, most_bytes=_MOST_BYTES, keep=self._receipt)
        assert [(one.message.id, one.state) for one in taken] == [(number, state) for number in wanted]
        moved = [replace(one, message=one.message._replace(queue=goal)) for one in taken]
        receipt = self._receipt(taken)._replace(session="placed")
        first = self.reference.last[goal] + 1
        assert list(placer.place(moved, receipt=receipt)) == list(range(first, first + len(moved)))
        assert set(placer.place(moved, receipt=receipt)) == {None}
        for one in taken:
            old = rows.pop(one.message.id)
            assert len(one.attempts) == min(old.kept, 20)
            self.reference.add(goal, old.topic, self.now)
            self.reference.rows[goal][self.reference.last[goal]] = Row(
                old.topic, state=old.state, failed=old.failed, kept=old.kept, changed=None
            )

    def _may_move(self, row: Row) -> bool:
        return row.state in ("done", "dead") or row.due < self.now - _SURELY_DUE

    def _receipt(self, _: Sequence[StoredMessage]) -> Receipt:
        return Receipt("taken", self.moves, b"", self.moves)
