"""What moves messages between queues, with all that a store keeps of them."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from fmq.message import Receipt
from fmq.store.records import StoredMessage
from fmq.store.selection import State
from model.reference import QUEUES, Row
from model.services import CONNECTIONS, ServedStore

_MOST_BYTES = 2**30
_SURELY_DUE = 0.01
"""Seconds. The times of a message are in Unix time on their way, with a rounding error."""
_STATES = (State.PENDING, State.CLAIMED, State.DONE, State.DEAD)


class MovedStore(ServedStore):
    """Messages are taken from a queue and placed in another one, or in the same one."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = 0

    @rule(
        who=st.permutations(range(CONNECTIONS)),
        names=st.tuples(st.sampled_from(QUEUES), st.sampled_from(QUEUES)),
        data=st.data(),
        limit=st.integers(1, 3),
    )
    def move(self, who: list[int], names: tuple[str, str], data: st.DataObject, limit: int) -> None:
        """State, times and attempts go with them, each once however often it is placed; a claim that is held stays."""
        taker, placer = (self.connections[one] for one in who[:2])
        source, goal = names
        self.clock.advance(2 * _SURELY_DUE)
        rows = self.reference.rows[source]
        movable = {number: row for number, row in sorted(rows.items()) if self._may_move(row)}
        held = [number for number, row in rows.items() if row.state == "claimed" and row.due > self.now]
        state = State(data.draw(st.sampled_from(sorted({row.state for row in movable.values()} or {"claimed"}))))
        wanted = [number for number, row in movable.items() if row.state == state][:limit]
        self.moves += bool(wanted)
        taken = taker.take(source, [*held, *wanted], state=state, most_bytes=_MOST_BYTES, keep=self._receipt)
        assert [(one.message.id, one.state) for one in taken] == [(number, state) for number in wanted]
        if not taken:
            return
        moved = [replace(one, message=one.message._replace(queue=goal)) for one in taken]
        receipt = self._receipt(taken)._replace(session="placed")
        first = self.reference.last[goal] + 1
        ids = list(range(first, first + len(moved)))
        assert list(placer.place(moved, receipt=receipt)) == ids
        assert set(placer.place(moved, receipt=receipt)) == {None}
        placed = placer.stored(goal, ids)
        for number, before, after in zip(ids, taken, placed, strict=True):
            old = rows.pop(before.message.id)
            assert (after.message.id, after.message.retry_count) == (number, before.message.retry_count)
            assert (after.state, after.reason) == (before.state, before.reason)
            assert after.attempts == before.attempts
            assert len(after.attempts) == min(old.kept, 20)
            if state in (State.PENDING, State.CLAIMED):
                assert after.message.retry_count == old.failed
            self.reference.add(goal, old.topic, self.now)
            self.reference.rows[goal][number] = replace(old, due=0.0, token=None, route=None, changed=None)

    def _may_move(self, row: Row) -> bool:
        return row.state in ("done", "dead") or row.route is not None or row.due < self.now - _SURELY_DUE

    def _receipt(self, _: Sequence[StoredMessage]) -> Receipt:
        return Receipt("taken", self.moves, b"", self.moves)
