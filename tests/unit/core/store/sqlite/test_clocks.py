"""Ages, delays and the order of claims, whatever the wall clock says: wrong at receipt, set meanwhile, over a reboot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.backends import open_store
from fmq.store.options import Retention, StoreOptions
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.clock import FakeClock

YEARS = 10 * 365 * 86_400.0
DAY = 86_400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def connect(tmp_path: Path, clock: FakeClock) -> Callable[[], Store]:
    def opened() -> Store:
        queue = open_store(f"sqlite:///{tmp_path}/q.db", StoreOptions(), clock=clock)
        queue.declare("q")
        return queue

    return opened


def put(queue: Store, clock: FakeClock, *payloads: str, delay: float = 0.0) -> None:
    messages = [Incoming("q", "t", payload.encode(), clock.wall()) for payload in payloads]
    queue.put(messages, terms={at: Terms(delay=delay) for at in range(len(messages))} if delay else {})


def handle(queue: Store, *, dead: bool = False) -> None:
    while claims := queue.claim("q", 1_000, lease=60):
        queue.settle([(claim, Dead("x") if dead else Done()) for claim in claims])


def clean(queue: Store, *, done: float | None = DAY, dead: float | None = None) -> int:
    deleted = 0
    while step := queue.maintain(Retention(done, dead), limit=100):
        deleted += step
    return deleted


def taken(queue: Store, limit: int = 100) -> list[str]:
    return [claim.message.text for claim in queue.claim("q", limit, lease=60)]


class TestRetention:
    @pytest.mark.parametrize("wrong", [YEARS, -YEARS, 3_600.0, -3_600.0])
    @pytest.mark.parametrize("dead", [False, True])
    def test_a_clock_that_was_wrong(
        self, connect: Callable[[], Store], clock: FakeClock, *, wrong: float, dead: bool
    ) -> None:
        """What was received and settled by a wrong clock is kept for its time, and holds nothing back that comes later."""
        keep = {"done": None, "dead": DAY} if dead else {"done": DAY, "dead": None}
        with connect() as queue:
            clock.jump(wrong)
            put(queue, clock, *"abc")
            handle(queue, dead=dead)
            assert clean(queue, **keep) == 0
            clock.jump(-wrong)
            clock.advance(DAY / 2)
            put(queue, clock, *"defg")
            handle(queue, dead=dead)
            clock.advance(DAY / 2 - 1)
            assert clean(queue, **keep) == 0
            clock.advance(1)
            assert clean(queue, **keep) == 3
            clock.advance(DAY / 2 - 1)
            assert clean(queue, **keep) == 0
            clock.advance(1)
            assert clean(queue, **keep) == 4

    @pytest.mark.parametrize("wrong", [YEARS, -YEARS])
    def test_a_clock_that_was_wrong_when_the_store_was_made(
        self, connect: Callable[[], Store], clock: FakeClock, wrong: float
    ) -> None:
        """Also then, and dates of what is done are those of the corrected clock."""
        clock.jump(wrong)
        with connect() as queue:
            put(queue, clock, "a")
            handle(queue)
            clock.jump(-wrong)
            clock.advance(60)
            at = clock.wall()
            assert queue.find("q", Selection(State.DONE, since=at - 61, until=at - 59)).ids == [1]
            assert queue.find("q", Selection(State.DONE, since=at - 59)).ids == []
            clock.advance(DAY - 61)
            assert clean(queue) == 0
            clock.advance(1)
            assert clean(queue) == 1

    def test_a_machine_that_stood_still(self, connect: Callable[[], Store], clock: FakeClock) -> None:
        """A paused virtual machine: only its wall clock tells of the two days, and what was kept for one goes, once."""
        with connect() as queue, connect() as other:
            put(queue, clock, "before")
            handle(queue)
            clock.advance(60)
            clock.jump(2 * DAY)
            for one in (other, queue):
                one.probe()  # as upkeep does
            clock.advance(1)
            put(queue, clock, "after")
            handle(queue)
            assert clean(other) == 1
            assert clean(queue) == 0
            clock.advance(DAY - 1)
            assert clean(queue) == 0
            clock.advance(1)
            assert clean(other) == 1

    def test_an_early_message_that_was_settled_late(self, connect: Callable[[], Store], clock: FakeClock) -> None:
        """It does not hide what came after it and was settled before it."""
        with connect() as queue:
            put(queue, clock, "late")
            (late,) = queue.claim("q", 1, lease=DAY)
            clock.advance(10)
            put(queue, clock, *"abc")
            handle(queue)
            clock.advance(DAY - 100)
            assert clean(queue) == 0
            queue.settle([(late, Done())])
            clock.advance(100)
            assert clean(queue) == 3
            clock.advance(DAY)
            assert clean(queue) == 1

    def test_between_two_marks(self, connect: Callable[[], Store], clock: FakeClock) -> None:
        """What is past retention goes at once, also when upkeep has noted no mark since."""
        with connect() as queue:
            assert clean(queue) == 0
            put(queue, clock, "a")
            handle(queue)
            clock.advance(DAY - 100)
            assert clean(queue) == 0
            clock.advance(100)
            assert clean(queue) == 1

    def test_the_sweep_ends_where_nothing_can_be_past(self, connect: Callable[[], Store], clock: FakeClock) -> None:
        """Upkeep with nothing to delete costs the same with 100 young messages as with 10,000."""
        steps = []
        with connect() as queue:
            for more in (100, 9_900):
                clean(queue)
                put(queue, clock, *map(str, range(more)))
                handle(queue)
                clock.advance(60)
                clean(queue)
                ticks: list[None] = []
                queue._database.sql.set_progress_handler(lambda ticks=ticks: bool(ticks.append(None)), 20)  # type: ignore[attr-defined]
                clean(queue)
                steps.append(len(ticks))
        assert steps[1] <= steps[0] * 1.2 + 5


class TestDelays:
    @pytest.mark.parametrize("by", ["delay", "retry", "give back"])
    @pytest.mark.parametrize(("off", "left"), [(0.0, 1_800.0), (600.0, 1_200.0), (7_200.0, 0.0), (-YEARS, 1_800.0)])
    def test_a_reboot(self, connect: Callable[[], Store], clock: FakeClock, by: str, off: float, left: float) -> None:
        """A delay goes on after a reboot, less the time that the machine was off, as far as its clock knows that."""
        with connect() as queue:
            put(queue, clock, "a", delay=3_600 if by == "delay" else 0)
            if by != "delay":
                (claim,) = queue.claim("q", 1, lease=60)
                queue.settle([(claim, RetryLater(3_600) if by == "retry" else GiveBack(3_600))])
            clock.advance(1_800)
            queue.probe()
        clock.reboot()
        clock.jump(off)
        with connect() as queue:
            if left:
                clock.advance(left - 1)
                assert taken(queue) == []
                clock.advance(1)
            assert taken(queue) == ["a"]

    @pytest.mark.parametrize("wrong", [YEARS, -YEARS])
    def test_a_clock_that_is_put_right_before_or_after_the_reboot(
        self, connect: Callable[[], Store], clock: FakeClock, wrong: float
    ) -> None:
        """NTP comes late: a delay neither ends by it nor gets longer."""
        clock.jump(wrong)
        with connect() as queue:
            put(queue, clock, "a", delay=3_600)
            clock.jump(-wrong)
        clock.reboot()
        clock.jump(-YEARS)  # no battery
        with connect() as queue:
            clock.jump(YEARS)
            clock.advance(3_599)
            assert taken(queue) == []
            clock.advance(1)
            assert taken(queue) == ["a"]

    def test_keys_of_duplicates(self, connect: Callable[[], Store], clock: FakeClock) -> None:
        """They are forgotten after their time, and not by a clock that is set or a reboot."""
        message, terms = Incoming("q", "t", b"x", clock.wall()), {0: Terms(key="k", key_seconds=3_600)}
        with connect() as queue:
            assert queue.put([message], terms=terms) == []
            clock.jump(YEARS)
            assert queue.put([message], terms=terms) == [0]
        clock.reboot()
        with connect() as queue:
            clock.advance(3_500)
            assert queue.put([message], terms=terms) == [0]
            clock.advance(101)
            assert queue.put([message], terms=terms) == []


@pytest.mark.parametrize("wrong", [YEARS, -YEARS])
@pytest.mark.parametrize("at_first", [True, False])
def test_the_longest_due_comes_first(
    connect: Callable[[], Store], clock: FakeClock, *, wrong: float, at_first: bool
) -> None:
    """A retry is not starved by a backlog, nor goes before it, when the clock was wrong at boot or is wrong now."""
    clock.jump(wrong if at_first else 0.0)
    with connect() as queue:
        clock.jump(-wrong)
        put(queue, clock, "retry")
        (claim,) = queue.claim("q", 1, lease=60)
        queue.settle([(claim, RetryLater(5))])
        put(queue, clock, "before")
        clock.advance(10)
        put(queue, clock, "after")
        assert taken(queue, 1) + taken(queue, 1) + taken(queue, 1) == ["before", "retry", "after"]


def test_notes_that_somebody_has_spoilt(connect: Callable[[], Store], clock: FakeClock) -> None:
    """A store opens all the same."""
    with connect() as queue:
        put(queue, clock, "a")
        for key in ("clock_seen", "clock_offset", "clock_stood"):
            queue.remember(key, "noon")
    with connect() as queue:
        assert taken(queue) == ["a"]
