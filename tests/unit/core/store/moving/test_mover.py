"""Moving messages exactly once, whenever the mover is killed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fmq.errors import QueueError, StoreUnavailable
from fmq.message import Incoming
from fmq.outcome import Dead, Done
from fmq.store.moving.mover import OUTBOX, Mover, on_its_way, take_back
from fmq.store.moving.parcel import unpack
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import walk
from support.backends import SqliteUnderTest

_MESSAGES = 7
_POINTS = 18
"""Before and after each commit of a move: four parcels leave and arrive, and the last one is forgotten."""


class Killed(BaseException):
    """The end of the process."""


class Mortal:
    """A store whose process is killed at its n-th call that writes: before its commit, or after it."""

    def __init__(self, store: Store, life: Iterator[int], dies_at: int, *, error: type[BaseException] = Killed) -> None:
        self._store = store
        self._life = life
        self._dies_at = dies_at
        self._error = error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        method = getattr(self._store, name)
        if name not in ("take", "place", "forget_receipts"):
            return method

        def mortal(*values: object, **named: object) -> object:
            if next(self._life) == self._dies_at:
                raise self._error
            result = method(*values, **named)
            if next(self._life) == self._dies_at:
                raise self._error
            return result

        return mortal


class Bench:
    """Two stores, and messages that are pending, done and dead in the first one."""

    def __init__(self, folder: Path) -> None:
        self.backends = [SqliteUnderTest(folder / "a"), SqliteUnderTest(folder / "b")]
        self.source, self.target = (one.open() for one in self.backends)
        for store in (self.source, self.target):
            store.declare("q")
        self.source.put([Incoming("q", f"t/{n}", b"%d" % n, 100.0 + n) for n in range(_MESSAGES)])
        claims = self.source.claim("q", 4, lease=60)
        self.source.settle([(one, Done() if one.message.id % 2 else Dead("no")) for one in claims])

    def move(self, *, dies_at: int = -1, error: type[BaseException] = Killed) -> Mover:
        """Everything, two messages at a time."""
        life = iter(range(1_000))
        source, target = (Mortal(one, life, dies_at, error=error) for one in (self.source, self.target))
        mover = Mover(source, target, patience=5)
        mover.resume()
        for state in (State.PENDING, State.DEAD, State.DONE):
            for found in walk(self.source, "q", Selection(state), limit=2):
                left = list(found.ids)
                while left and (moved := mover.move("q", left, state)):
                    left = [one for one in left if one not in moved]
        mover.finish()
        return mover

    @property
    def arrived(self) -> Counter[tuple[bytes, str, str]]:
        ids = self.target.find("q", Selection(State.ANY)).ids
        return Counter((one.message.payload, one.state.value, one.reason) for one in self.target.stored("q", ids))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for name in "ab":
        (tmp_path / name).mkdir()
    return Bench(tmp_path)


_EXPECTED = Counter(
    {(b"0", "done", ""), (b"1", "dead", "no"), (b"2", "done", ""), (b"3", "dead", "no")}
    | {(b"%d" % n, "pending", "") for n in range(4, _MESSAGES)}
)


@pytest.mark.parametrize("dies_at", range(_POINTS + 1))
def test_killed_at_each_point(bench: Bench, dies_at: int) -> None:
    """Before and after each commit: the next run moves the rest, and each message is in the target once."""
    is_over = False
    with suppress(Killed):
        bench.move(dies_at=dies_at)
        is_over = True
    left = len(bench.source.find("q", Selection(State.ANY)).ids)
    assert left + on_its_way(bench.source) + bench.arrived.total() >= _MESSAGES  # nothing is ever lost
    bench.move()
    assert bench.arrived == _EXPECTED
    assert bench.source.find("q", Selection(State.ANY)).ids == []
    assert on_its_way(bench.source) == 0
    assert is_over == (dies_at == _POINTS)  # the points above are all that there are


@pytest.mark.parametrize("dies_at", range(_POINTS))
def test_a_store_that_is_unavailable_for_a_moment(bench: Bench, dies_at: int) -> None:
    """Whether the call was committed or not: the same run goes on, and each message arrives once."""
    mover = bench.move(dies_at=dies_at, error=StoreUnavailable)
    assert bench.arrived == _EXPECTED
    assert mover.moved["q"].states.total() == _MESSAGES


def test_a_target_that_refuses(bench: Bench) -> None:
    """The messages are in the source again, with their ids, and the next run moves them."""
    before = bench.source.find("q", Selection(State.PENDING)).ids
    with pytest.raises(QueueError):
        bench.move(dies_at=2, error=QueueError)
    assert bench.source.find("q", Selection(State.PENDING)).ids == before
    bench.move()
    assert bench.arrived == _EXPECTED


def test_what_is_on_its_way_to_another_store(bench: Bench, tmp_path: Path) -> None:
    """Nobody else gets it."""
    with suppress(Killed):
        bench.move(dies_at=3)
    (tmp_path / "c").mkdir()
    with SqliteUnderTest(tmp_path / "c").open() as third:
        third.declare("q")
        with pytest.raises(QueueError, match="2 messages are on their way to another store"):
            Mover(bench.source, third).resume()
    bench.move()
    assert bench.arrived == _EXPECTED


def test_a_target_that_is_lost(bench: Bench) -> None:
    """What was on its way to it is in its queue again, with its ids, and moves to another one."""
    before = bench.source.find("q", Selection(State.PENDING)).ids
    with suppress(Killed):
        bench.move(dies_at=1)
    assert on_its_way(bench.source) == 2
    assert take_back(bench.source) == 2
    assert (on_its_way(bench.source), take_back(bench.source)) == (0, 0)
    assert bench.source.find("q", Selection(State.PENDING)).ids == before
    bench.move()
    assert bench.arrived == _EXPECTED


def test_one_ends_while_another_goes_on(bench: Bench) -> None:
    """The end of a run drops only what it has delivered itself."""
    first, second = Mover(bench.source, bench.target), Mover(bench.source, bench.target)
    ids = bench.source.find("q", Selection(State.PENDING)).ids
    first.move("q", ids[:1], State.PENDING)
    second.resume()
    with suppress(Killed):
        life = iter(range(10))
        second._source = Mortal(bench.source, life, 1)
        second.move("q", ids[1:2], State.PENDING)
    first.finish()
    assert on_its_way(bench.source) == 1
    bench.move()
    assert bench.arrived == _EXPECTED


def test_two_at_once(bench: Bench) -> None:
    """The one that was overtaken gives up, and nothing is doubled."""
    first, second = Mover(bench.source, bench.target), Mover(bench.source, bench.target)
    ids = bench.source.find("q", Selection(State.PENDING)).ids
    first.move("q", ids[:1], State.PENDING)
    second.resume()
    second.move("q", ids[1:2], State.PENDING)
    with pytest.raises(QueueError, match="another one is at work"):
        first.move("q", ids[2:], State.PENDING)
    bench.move()
    assert bench.arrived == _EXPECTED


def test_damage_on_the_way(bench: Bench) -> None:
    """A parcel whose bytes have changed is not delivered."""
    with suppress(Killed):
        bench.move(dies_at=1)
    ((_, data),) = bench.source.receipts(OUTBOX)
    assert len(unpack(data).messages) == 2
    with pytest.raises(QueueError, match="damaged"):
        unpack(data[:-1] + bytes([data[-1] ^ 1]))


def test_each_is_compared(bench: Bench) -> None:
    """What has arrived is read again; a store that changed it is noticed."""
    assert bench.move().moved["q"].checked == _MESSAGES
    bench.source.put([Incoming("q", "t", b"right", 1.0)])
    stored = bench.target.stored

    def wrong(*values: Any, **named: Any) -> Any:  # noqa: ANN401 - as the method has them
        return [replace(one, message=one.message._replace(payload=b"wrong")) for one in stored(*values, **named)]

    bench.target.stored = wrong  # type: ignore[method-assign]
    with pytest.raises(QueueError, match="is not in the target as it was"):
        bench.move()
