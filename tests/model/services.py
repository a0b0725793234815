"""What services do with a store: they put, claim, settle and retain, and crash, while the clock goes on."""

import tempfile
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fmq.errors import WrongOrder
from fmq.message import Claim, Incoming
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.options import Durability, Retention, StoreOptions
from fmq.store.roles import Store
from model.reference import QUEUES, Reference, Row, Totals
from support.backends import BACKENDS, BackendUnderTest

CONNECTIONS = 3
LEASE = 10.0
SETTINGS = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
_OPTIONS = StoreOptions(durability=Durability.NORMAL)  # no power is cut here


class ServedStore(RuleBasedStateMachine):
    """Several connections take turns; the clock moves only by a rule."""

    scheme: ClassVar[str]
    backend: BackendUnderTest

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.backend = BACKENDS[self.scheme](Path(self.folder.name))
        self.clock = self.backend.clock
        self.reference = Reference()
        self.held: list[Claim] = []
        self.paused: set[str] = set()
        self.ordered: dict[str, bool] = {}
        self.connections: list[Store] = []

    @initialize()
    def connect(self) -> None:
        for _ in range(CONNECTIONS):
            self.connections.append(self.backend.open(_OPTIONS))
        for name in QUEUES:
            self.connections[0].declare(name)

    def teardown(self) -> None:
        for connection in self.connections:
            connection.close()
        self.folder.cleanup()

    @property
    def now(self) -> float:
        return self.clock.steady()

    @rule(
        who=st.integers(0, CONNECTIONS - 1),
        batch=st.lists(st.tuples(st.sampled_from(QUEUES), st.sampled_from("xyz")), min_size=1, max_size=5),
    )
    def put(self, who: int, batch: list[tuple[str, str]]) -> None:
        self.connections[who].put([Incoming(name, topic, b"p", self.clock.wall()) for name, topic in batch])
        for name, topic in batch:
            self.reference.add(name, topic, self.now)

    @rule(
        who=st.integers(0, CONNECTIONS - 1),
        name=st.sampled_from(QUEUES),
        limit=st.integers(1, 6),
        route=st.sampled_from([None, "r", "s"]),
        ordered=st.booleans(),
    )
    def claim(self, who: int, name: str, limit: int, *, route: str | None, ordered: bool) -> None:
        """The first claim decides the order; one of the other kind gets nothing, and changes nothing."""
        if ordered != self.ordered.setdefault(name, ordered):
            with pytest.raises(WrongOrder):
                self.connections[who].claim(name, limit, lease=LEASE, ordered=ordered, route=route)
        else:
            self._claim(who, name, limit, route=route, ordered=ordered)

    def _claim(self, who: int, name: str, limit: int, *, route: str | None = None, ordered: bool) -> None:
        claimable = self.reference.claimable(name, self.now, route)
        claims = self.connections[who].claim(name, limit, lease=LEASE, ordered=ordered, route=route)
        numbers = [claim.message.id for claim in claims]
        if name in self.paused:
            assert not claims
            return
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= limit
        assert set(numbers) <= set(claimable)
        if ordered:
            heads = self.reference.heads(name, self.now, route)
            assert set(numbers) <= heads
            assert bool(numbers) == bool(heads)
        else:
            assert bool(numbers) == bool(claimable)
            parked = sorted(number for number, row in claimable.items() if row.route and row.route == route)
            first = list(takewhile(lambda number: not claimable[number].died, parked[:limit]))
            assert set(first) <= set(numbers)  # before everything else
        for claim in claims:
            row = claimable[claim.message.id]
            expired = row.state == "claimed"
            row.died |= expired
            assert claim.suspect == row.died
            assert not row.died or len(claims) == 1
            row.failed += expired
            row.kept += expired
            self.reference.totals[name].failed += expired
            assert claim.attempt == row.failed + 1
            row.state, row.due, row.token, row.route = "claimed", self.now + LEASE, claim.token, None
        self.held += claims

    @rule(
        who=st.integers(0, CONNECTIONS - 1),
        data=st.data(),
        outcome=st.one_of(
            st.just(Done()),
            st.builds(GiveBack, st.sampled_from([None, 0.0, 5.0, 30.0])),
            st.builds(GiveBack, st.sampled_from([5.0, 30.0]), st.sampled_from(["r", "s"])),
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
            row, totals = self._row(claim), self.reference.totals[claim.message.queue]
            row.token = None
            row.died &= isinstance(outcome, GiveBack)
            match outcome:
                case Done():
                    row.state, row.changed = "done", self.now
                    totals.handled += 1
                case Dead():
                    row.state, row.changed = "dead", self.now
                    row.kept += 1
                    totals.failed += 1
                    totals.died += 1
                case GiveBack(delay, route):
                    row.state, row.due = "pending", 0.0 if delay is None else self.now + delay
                    row.route = route
                case RetryLater(delay):
                    row.state, row.due, row.failed = "pending", self.now + delay, row.failed + 1
                    row.kept += 1
                    totals.failed += 1

    @rule(
        who=st.integers(0, CONNECTIONS - 1), name=st.sampled_from(QUEUES), but=st.sampled_from([[], ["r"], ["r", "s"]])
    )
    def release(self, who: int, name: str, but: list[str]) -> None:
        aside = [row for row in self.reference.rows[name].values() if row.state == "pending" and row.route]
        waiting = Counter(row.route for row in aside if row.due > self.now)
        assert self.connections[who].parked(name) == waiting
        released = [row for row in aside if row.route not in but]
        assert self.connections[who].release(name, but=but) == len(released)
        for row in released:
            row.due, row.route = self.now, None

    @rule(who=st.integers(0, CONNECTIONS - 1))
    def extend(self, who: int) -> None:
        fresh = [claim for claim in self.held if self._holds(claim)]
        extended = self.connections[who].extend(self.held, lease=LEASE)
        assert sorted(map(_key, extended)) == sorted(map(_key, fresh))
        for claim in fresh:
            self._row(claim).due = self.now + LEASE

    @rule(
        name=st.sampled_from(QUEUES),
        outcome=st.sampled_from([Done(), GiveBack(), RetryLater(5.0), Dead("x")]),
        who=st.permutations(range(CONNECTIONS)),
    )
    def outlive_the_lease(self, name: str, outcome: Settlement, who: list[int]) -> None:
        """Claim, let the lease end, have another one claim the same messages, and settle the old claims."""
        ordered = self.ordered.setdefault(name, False)
        before = len(self.held)
        self._claim(who[0], name, 2, ordered=ordered)
        old = self.held[before:]
        self.clock.advance(LEASE)
        for _ in range(8):
            before = len(self.held)
            self._claim(who[1], name, 2, ordered=ordered)
            if len(self.held) == before:
                break
        if old:
            self._settle(who[2], old, outcome)

    @rule(who=st.integers(0, CONNECTIONS - 1), seconds=st.sampled_from([0.0, 20.0]))
    def maintain(self, who: int, seconds: float) -> None:
        while self.connections[who].maintain(Retention(done_seconds=seconds), limit=3):
            pass
        for name, rows in self.reference.rows.items():
            left = self.backend.ids(name)
            for number, row in [(n, row) for n, row in rows.items() if row.state == "done"]:
                if row.changed is not None:
                    assert (number in left) == (row.changed > self.now - seconds)
                if number not in left:
                    del rows[number]

    @rule(seconds=st.sampled_from([-1e9, -30.0, 30.0, 1e9]))
    def set_the_clock(self, seconds: float) -> None:
        """Somebody sets the wall clock: nothing follows."""
        if 0 < self.clock.wall() + seconds < 4e9:
            self.clock.jump(seconds)

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(who=st.integers(0, CONNECTIONS - 1))
    def reopen(self, who: int) -> None:
        self.connections[who].close()
        self.connections[who] = self.backend.open(_OPTIONS)

    @invariant()
    def counters_equal_a_full_count(self) -> None:
        if self.connections:
            figures = {name: self.reference.figures(name) for name in QUEUES}
            stats = {name: self.connections[0].stats(name) for name in QUEUES}
            assert {n: (one.pending, one.claimed, one.done, one.dead) for n, one in stats.items()} == figures
            assert self.backend.full_count() == figures
            totals = {name: self.reference.totals[name] for name in QUEUES}
            assert {n: Totals(one.stored, one.handled, one.failed, one.died) for n, one in stats.items()} == totals

    def _row(self, claim: Claim) -> Row:
        return self.reference.rows[claim.message.queue][claim.message.id]

    def _holds(self, claim: Claim) -> bool:
        row = self.reference.rows[claim.message.queue].get(claim.message.id)
        return row is not None and row.token == claim.token


def _key(claim: Claim) -> tuple[str, int, int]:
    return claim.message.queue, claim.message.id, claim.token
