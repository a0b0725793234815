"""The real queue beside a small reference: any history of calls gives the same messages, states and counters."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fmq.errors import QueueError, WrongOrder
from fmq.message import Claim, Incoming
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.queue import Durability, Queue, Retention, StoreOptions, open_queue
from fmq.selection import Selection, State
from support.clock import FakeClock
from support.counting import counted, counters, execute, query

_CONNECTIONS = 3
_QUEUES = ("a/b", "a_b")
_LEASE = 10.0
_OPTIONS = StoreOptions(durability=Durability.NORMAL)  # no power is cut here


@dataclass
class _Row:
    """What the reference knows of one message."""

    topic: str
    state: str = "pending"
    due: float = 0.0  # pending: when it may be claimed; claimed: when its lease ends
    failed: int = 0
    token: int | None = None
    changed: float | None = 0.0
    """As retention sees it, by the steady clock: when it was received, and then settled. None: somebody inserted it by hand."""


@dataclass
class _Reference:
    """The state machine of the architecture, in plain dictionaries."""

    rows: dict[str, dict[int, _Row]] = field(default_factory=lambda: {name: {} for name in _QUEUES})
    last: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_QUEUES, 0))

    def add(self, name: str, topic: str, now: float) -> None:
        self.last[name] += 1
        self.rows[name][self.last[name]] = _Row(topic, due=now, changed=now)

    def figures(self, name: str) -> tuple[int, int, int, int]:
        states = [row.state for row in self.rows[name].values()]
        return states.count("pending"), states.count("claimed"), states.count("done"), states.count("dead")

    def claimable(self, name: str, now: float) -> dict[int, _Row]:
        return {
            number: row
            for number, row in self.rows[name].items()
            if row.state in ("pending", "claimed") and row.due <= now
        }

    def heads(self, name: str, now: float) -> set[int]:
        """What may be lent in order: the oldest unsettled one of each topic of which none is lent."""
        heads: dict[str, int] = {}
        lent: set[str] = set()
        for number, row in sorted(self.rows[name].items()):
            if row.state in ("pending", "claimed"):
                heads.setdefault(row.topic, number)
            if row.state == "claimed" and row.due > now:
                lent.add(row.topic)
        return {n for topic, n in heads.items() if topic not in lent} & set(self.claimable(name, now))


class QueueMachine(RuleBasedStateMachine):
    """Several connections take turns; the clock moves only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "queue.db"
        self.clock = FakeClock()
        self.reference = _Reference()
        self.held: list[Claim] = []
        self.paused: set[str] = set()
        self.ordered: dict[str, bool] = {}
        self.connections: list[Queue] = []

    @initialize()
    def connect(self) -> None:
        for _ in range(_CONNECTIONS):
            self.connections.append(open_queue(f"sqlite:///{self.path}", _OPTIONS, clock=self.clock))
        for name in _QUEUES:
            self.connections[0].declare(name)

    def teardown(self) -> None:
        for connection in self.connections:
            connection.close()
        self.folder.cleanup()

    @property
    def now(self) -> float:
        return self.clock.steady()

    @rule(
        who=st.integers(0, _CONNECTIONS - 1),
        batch=st.lists(st.tuples(st.sampled_from(_QUEUES), st.sampled_from("xyz")), min_size=1, max_size=5),
    )
    def put(self, who: int, batch: list[tuple[str, str]]) -> None:
        self.connections[who].put([Incoming(name, topic, b"p", self.clock.wall()) for name, topic in batch])
        for name, topic in batch:
            self.reference.add(name, topic, self.now)

    @rule(
        who=st.integers(0, _CONNECTIONS - 1),
        name=st.sampled_from(_QUEUES),
        limit=st.integers(1, 6),
        ordered=st.booleans(),
    )
    def claim(self, who: int, name: str, limit: int, *, ordered: bool) -> None:
        """The first claim decides the order; one of the other kind gets nothing, and changes nothing."""
        if ordered != self.ordered.setdefault(name, ordered):
            with pytest.raises(WrongOrder):
                self.connections[who].claim(name, limit, lease=_LEASE, ordered=ordered)
        else:
            self._claim(who, name, limit, ordered=ordered)

    def _claim(self, who: int, name: str, limit: int, *, ordered: bool) -> None:
        claimable = self.reference.claimable(name, self.now)
        claims = self.connections[who].claim(name, limit, lease=_LEASE, ordered=ordered)
        numbers = [claim.message.id for claim in claims]
        if name in self.paused:
            assert not claims
            return
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= limit
        assert set(numbers) <= set(claimable)
        if ordered:
            heads = self.reference.heads(name, self.now)
            assert set(numbers) <= heads
            assert bool(numbers) == bool(heads)
        else:
            assert bool(numbers) == bool(claimable)
        for claim in claims:
            row = claimable[claim.message.id]
            expired = row.state == "claimed"
            assert claim.suspect == expired
            assert not expired or len(claims) == 1
            row.failed += expired
            assert claim.attempt == row.failed + 1
            row.state, row.due, row.token = "claimed", self.now + _LEASE, claim.token
        self.held += claims

    @rule(
        who=st.integers(0, _CONNECTIONS - 1),
        data=st.data(),
        outcome=st.one_of(
            st.just(Done()),
            st.builds(GiveBack, st.sampled_from([None, 0.0, 5.0, 30.0])),
            st.builds(RetryLater, st.sampled_from([0.0, 5.0, 30.0])),
            st.just(Dead("x")),
        ),
    )
    def settle(self, who: int, data: st.DataObject, outcome: Settlement) -> None:
        if self.held:
            self._settle(
                who, data.draw(st.lists(st.sampled_from(self.held), min_size=1, max_size=4, unique_by=id)), outcome
            )

    def _settle(self, who: int, claims: list[Claim], outcome: Settlement) -> None:
        fresh = [claim for claim in claims if self._holds(claim)]
        stale = self.connections[who].settle([(claim, outcome) for claim in claims])
        assert sorted(map(_key, stale)) == sorted(_key(claim) for claim in claims if claim not in fresh)
        for claim in fresh:
            row = self._row(claim)
            row.token = None
            match outcome:
                case Done():
                    row.state, row.changed = "done", self.now
                case Dead():
                    row.state, row.changed = "dead", self.now
                case GiveBack(delay):
                    row.state, row.due = "pending", 0.0 if delay is None else self.now + delay
                case RetryLater(delay):
                    row.state, row.due, row.failed = "pending", self.now + delay, row.failed + 1

    @rule(who=st.integers(0, _CONNECTIONS - 1))
    def extend(self, who: int) -> None:
        fresh = [claim for claim in self.held if self._holds(claim)]
        extended = self.connections[who].extend(self.held, lease=_LEASE)
        assert sorted(map(_key, extended)) == sorted(map(_key, fresh))
        for claim in fresh:
            self._row(claim).due = self.now + _LEASE

    @rule(
        who=st.integers(0, _CONNECTIONS - 1), name=st.sampled_from(_QUEUES), limit=st.integers(1, 3), keep=st.booleans()
    )
    def dead_letters(self, who: int, name: str, limit: int, *, keep: bool) -> None:
        numbers = sorted(number for number, row in self.reference.rows[name].items() if row.state == "dead")[:limit]
        assert [one.message.id for one in self.connections[who].dead_letters(name, limit=limit)] == numbers
        if keep:
            assert self.connections[who].requeue_dead(name, limit=limit) == len(numbers)
            for number in numbers:
                row = self.reference.rows[name][number]
                row.state, row.due, row.failed = "pending", self.now, 0
        else:
            assert self.connections[who].purge_dead(name, numbers) == len(numbers)
            for number in numbers:
                del self.reference.rows[name][number]

    @rule(who=st.integers(0, _CONNECTIONS - 1), name=st.sampled_from(_QUEUES), limit=st.integers(1, 3))
    def replay(self, who: int, name: str, limit: int) -> None:
        done = sorted(number for number, row in self.reference.rows[name].items() if row.state == "done")
        found = self.connections[who].find(name, Selection(State.DONE), limit=limit)
        assert found.ids == [number for number in done if number in found.ids][:limit]
        assert found.ids or not done or found.after_id is not None
        assert self.connections[who].requeue_done(name, found.ids) == len(found.ids)
        for number in found.ids:
            old = self.reference.rows[name][number]
            self.reference.rows[name][number] = _Row(old.topic, due=self.now, changed=old.changed)

    @rule(who=st.integers(0, _CONNECTIONS - 1), name=st.sampled_from(_QUEUES), step=st.integers(1, 5))
    def look(self, who: int, name: str, step: int) -> None:
        for state in State:
            ids: list[int] = []
            after: int | None = 0
            while after is not None:
                found = self.connections[who].find(name, Selection(state), after_id=after, within=step)
                ids += found.ids
                after = found.after_id
            assert ids == sorted(n for n, row in self.reference.rows[name].items() if row.state == state)

    @rule(who=st.integers(0, _CONNECTIONS - 1), name=st.sampled_from(_QUEUES), pause=st.booleans())
    def pause_or_resume(self, who: int, name: str, *, pause: bool) -> None:
        store = self.connections[who]
        assert (store.pause(name, "x") if pause else store.resume(name)) == ((name in self.paused) != pause)
        (self.paused.add if pause else self.paused.discard)(name)
        assert (store.paused(name) is not None) == pause

    @rule(who=st.integers(0, _CONNECTIONS - 1), seconds=st.sampled_from([0.0, 20.0]))
    def maintain(self, who: int, seconds: float) -> None:
        while self.connections[who].maintain(Retention(done_seconds=seconds), limit=3):
            pass
        for name, rows in self.reference.rows.items():
            left = {number for (number,) in query(self.path, f"SELECT id FROM {self._table(name)}")}  # noqa: S608
            for number, row in [(n, row) for n, row in rows.items() if row.state == "done"]:
                if row.changed is not None:
                    assert (number in left) == (row.changed > self.now - seconds)
                if number not in left:
                    del rows[number]

    @rule(
        name=st.sampled_from(_QUEUES),
        change=st.sampled_from(["UPDATE {} SET processed = 1", "UPDATE {} SET processed = 0", "DELETE FROM {}"]),
        data=st.data(),
    )
    def operators_own_sql(self, name: str, change: str, data: st.DataObject) -> None:
        """Somebody marks a message as done, replays it or deletes it by hand; dead letters are left to fmq."""
        rows = self.reference.rows[name]
        numbers = sorted(number for number, row in rows.items() if row.state != "dead")
        if not numbers:
            return
        number = data.draw(st.sampled_from(numbers))
        execute(self.path, f"{change} WHERE id = ?".format(self._table(name)), number)
        row = rows[number]
        if change.startswith("DELETE"):
            del rows[number]
        elif change.endswith("1") and row.state != "done":
            row.state, row.token = "done", None
        elif change.endswith("0") and row.state == "done":
            row.state, row.due = "pending", 0.0

    @rule(name=st.sampled_from(_QUEUES), again=st.booleans(), data=st.data())
    def operators_own_insert(self, name: str, data: st.DataObject, *, again: bool) -> None:
        """Somebody inserts a message by hand, at the end or with the id of one that is gone."""
        rows, last = self.reference.rows[name], self.reference.last[name]
        gone = sorted(set(range(1, last + 1)) - set(rows))
        number = data.draw(st.sampled_from(gone)) if again and gone else last + 1
        statement = "INSERT INTO {} (id, topic, payload, received_at) VALUES (?, 'x', 'p', ?)"
        execute(self.path, statement.format(self._table(name)), number, self.clock.wall())
        rows[number] = _Row("x", changed=None)
        self.reference.last[name] = max(last, number)

    def _table(self, name: str) -> str:
        return str(query(self.path, "SELECT table_name FROM fmq_queue WHERE name = ?", name)[0][0])

    @rule(
        name=st.sampled_from(_QUEUES),
        outcome=st.sampled_from([Done(), GiveBack(), RetryLater(5.0), Dead("x")]),
        who=st.permutations(range(_CONNECTIONS)),
    )
    def outlive_the_lease(self, name: str, outcome: Settlement, who: list[int]) -> None:
        """Claim, let the lease end, have another one claim the same messages, and settle the old claims."""
        ordered = self.ordered.setdefault(name, False)
        before = len(self.held)
        self._claim(who[0], name, 2, ordered=ordered)
        old = self.held[before:]
        self.clock.advance(_LEASE)
        for _ in range(8):
            before = len(self.held)
            self._claim(who[1], name, 2, ordered=ordered)
            if len(self.held) == before:
                break
        if old:
            self._settle(who[2], old, outcome)

    @rule(who=st.integers(0, _CONNECTIONS - 1), name=st.sampled_from(_QUEUES), ordered=st.booleans())
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

    @rule(seconds=st.sampled_from([-1e9, -30.0, 30.0, 1e9]))
    def set_the_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock: nothing follows."""
        if 0 < self.clock.wall() + seconds < 4e9:
            self.clock.jump(seconds)

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(who=st.integers(0, _CONNECTIONS - 1))
    def reopen(self, who: int) -> None:
        self.connections[who].close()
        self.connections[who] = open_queue(f"sqlite:///{self.path}", _OPTIONS, clock=self.clock)

    @invariant()
    def counters_equal_a_full_count(self) -> None:
        if self.connections:
            assert counters(self.path) == counted(self.path) == {name: self.reference.figures(name) for name in _QUEUES}

    def _row(self, claim: Claim) -> _Row:
        return self.reference.rows[claim.message.queue][claim.message.id]

    def _holds(self, claim: Claim) -> bool:
        row = self.reference.rows[claim.message.queue].get(claim.message.id)
        return row is not None and row.token == claim.token


def _key(claim: Claim) -> tuple[str, int, int]:
    return claim.message.queue, claim.message.id, claim.token


QueueMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestQueueMachine = QueueMachine.TestCase
