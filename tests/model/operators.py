"""What operators do with a store that services use: they search, requeue, delete, pause, and change the order."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from fmq.errors import QueueError, UnknownQueue
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.records import Head
from fmq.store.selection import Selection, State
from model.reference import QUEUES, Row, Totals
from model.services import CONNECTIONS, LEASE, ServedStore


class OperatedStore(ServedStore):
    """Any history of calls gives the same messages, states and counters as in the reference."""

    @rule(
        who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), limit=st.integers(1, 3), keep=st.booleans()
    )
    def dead_letters(self, who: int, name: str, limit: int, *, keep: bool) -> None:
        numbers = sorted(number for number, row in self.reference.rows[name].items() if row.state == "dead")[:limit]
        assert [one.message.id for one in self.connections[who].dead_letters(name, limit=limit)] == numbers
        if keep:
            assert self.connections[who].requeue_dead(name, limit=limit) == len(numbers)
            for number in numbers:
                row = self.reference.rows[name][number]
                row.state, row.due, row.failed, row.died = "pending", self.now, 0, False
        else:
            assert self.connections[who].purge_dead(name, numbers) == len(numbers)
            for number in numbers:
                del self.reference.rows[name][number]

    @rule(who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), limit=st.integers(1, 3))
    def replay(self, who: int, name: str, limit: int) -> None:
        done = sorted(number for number, row in self.reference.rows[name].items() if row.state == "done")
        found = self.connections[who].find(name, Selection(State.DONE), limit=limit)
        assert found.ids == [number for number in done if number in found.ids][:limit]
        assert found.ids or not done or found.after_id is not None
        assert self.connections[who].requeue_done(name, found.ids) == len(found.ids)
        for number in found.ids:
            old = self.reference.rows[name][number]
            self.reference.rows[name][number] = Row(old.topic, due=self.now, kept=old.kept, changed=old.changed)

    @rule(who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), step=st.integers(1, 5))
    def look(self, who: int, name: str, step: int) -> None:
        """A search in any steps finds all messages in a state, oldest first; a page finds the same ones, newest first."""
        for state in State:
            wanted = sorted(n for n, row in self.reference.rows[name].items() if self._is_in(row, state))
            ids: list[int] = []
            after: int | None = None
            while True:
                found = self.connections[who].find(name, Selection(state), after_id=after, within=step)
                ids += found.ids
                after = found.after_id
                if after is None:
                    break
            assert ids == wanted
            heads: list[Head] = []
            before: str | None = None
            while True:
                page = self.connections[who].heads(name, Selection(state), before=before, limit=step, within=step)
                heads += page.heads
                before = page.before
                if before is None:
                    break
            if state is State.DEAD:
                assert {one.id for one in heads} == set(wanted)
            else:
                assert [one.id for one in heads] == wanted[::-1]
            for one in heads:
                assert self._is_in(self.reference.rows[name][one.id], one.state)

    def _is_in(self, row: Row, state: State) -> bool:
        match state:
            case State.ANY:
                return True
            case State.DELAYED:
                return row.state == "pending" and row.due > self.now and row.route is None
            case _:
                return row.state == state

    @rule(who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES))
    def attempts(self, who: int, name: str) -> None:
        """Each message has its failed attempts, the first and the last ones of many; none is left without a message."""
        kept = {number: row.kept for number, row in self.reference.rows[name].items() if row.kept}
        assert self.backend.attempts(name) == {number: min(count, 20) for number, count in kept.items()}
        for number, count in kept.items():
            detail = self.connections[who].detail(name, number)
            assert detail is not None
            numbers = [one.number for one in detail.attempts]
            assert numbers == [*range(1, min(count, 5) + 1), *range(max(6, count - 14), count + 1)]

    @rule(who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), pause=st.booleans())
    def pause_or_resume(self, who: int, name: str, *, pause: bool) -> None:
        store = self.connections[who]
        assert (store.pause(name, "x") if pause else store.resume(name)) == ((name in self.paused) != pause)
        (self.paused.add if pause else self.paused.discard)(name)
        assert (store.paused(name) is not None) == pause

    @rule(who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), ordered=st.booleans())
    def set_order(self, who: int, name: str, *, ordered: bool) -> None:
        """An operator changes the order, when nothing is lent."""
        store = self.connections[who]
        assert store.ordered(name) == self.ordered.get(name)
        if any(row.state == "claimed" and row.due > self.now for row in self.reference.rows[name].values()):
            with pytest.raises(QueueError, match="hold"):
                store.set_order(name, ordered=ordered)
        else:
            store.set_order(name, ordered=ordered)
            self.ordered[name] = ordered

    @rule(
        who=st.integers(0, CONNECTIONS - 1),
        name=st.sampled_from(QUEUES),
        state=st.sampled_from(State),
        limit=st.integers(1, 3),
    )
    def delete_messages(self, who: int, name: str, state: State, limit: int) -> None:
        """Of any state, but for those that are lent; those of other states stay."""
        rows = self.reference.rows[name]
        wanted = [n for n, row in sorted(rows.items()) if self._is_in(row, state) and row.state != "claimed"][:limit]
        others = [n for n, row in rows.items() if row.state == "claimed" or not self._is_in(row, state)]
        assert self.connections[who].delete_messages(name, [*wanted, *others], state=state) == len(wanted)
        for number in wanted:
            del rows[number]

    @rule(who=st.permutations(range(CONNECTIONS)), names=st.permutations(QUEUES), emptied=st.booleans())
    def delete_queues(self, who: list[int], names: list[str], *, emptied: bool) -> None:
        """Only what is empty goes. It is unknown to all then, comes back as new, and its ids go on."""
        first, second, third = (self.connections[one] for one in who)
        gone = []
        for name in names:
            if emptied:
                waiting = {n for n, row in self.reference.rows[name].items() if row.state in ("pending", "dead")}
                first.delete_messages(name, sorted(waiting))
                for number in waiting:
                    del self.reference.rows[name][number]
            if any(row.state != "done" for row in self.reference.rows[name].values()):
                with pytest.raises(QueueError):
                    first.delete_queue(name)
            else:
                assert first.delete_queue(name)
                gone.append(name)
        for name in gone:
            for store in (second, third):
                with pytest.raises(UnknownQueue):
                    store.put([Incoming(name, "x", b"p", self.clock.wall())])
                with pytest.raises(UnknownQueue):
                    store.claim(name, 1, lease=LEASE)
            old = [claim for claim in self.held if claim.message.queue == name]
            assert second.settle([(claim, Done()) for claim in old]) == old
        for name in reversed(gone):
            assert not third.delete_queue(name)
            second.declare(name)
            self.reference.rows[name] = {}
            self.reference.totals[name] = Totals()
            self.paused.discard(name)
            self.ordered.pop(name, None)
