"""The overview: what it says of each queue, and whom it calls."""

import pytest

from fmq.message import Incoming
from fmq.outcome import Cause, Dead, Done, RetryLater
from fmq.store.records import ServiceReport
from fmq.store.roles import Store
from fmq_web.answers.activity import RouteView
from fmq_web.answers.queues import Need
from fmq_web.views.overview import Rates, overview
from fmq_web.views.services import services
from support.backends import SqliteUnderTest
from support.clock import FakeClock
from support.web.filled import EMPTY, QUEUE, Filled, reports


@pytest.fixture
def clock(filled: Filled) -> FakeClock:
    return filled.clock


def put(store: Store, clock: FakeClock, name: str, count: int = 1) -> None:
    store.put([Incoming(name, "t", b"x", clock.wall()) for _ in range(count)])


def handle(store: Store, name: str, count: int = 1) -> None:
    store.settle([(claim, Done()) for claim in store.claim(name, count, lease=60)])


def minute(store: Store, clock: FakeClock) -> None:
    """Go to just after the next full minute, with all services still there."""
    clock.advance(60 - clock.wall() % 60)
    store.note_minute()
    for report in reports(clock):
        store.report(report)


def needs(store: Store, clock: FakeClock, name: str) -> list[tuple[str, str, str]]:
    [found] = [one for one in overview(store, clock).queues if one.name == name]
    return [(one.kind, one.severity, one.runbook) for one in found.needs]


class TestCounts:
    def test_what_a_row_says(self, filled: Filled) -> None:
        """The counters of the store under the names that people use."""
        store, clock = filled.store, filled.clock
        seen = overview(store, clock)
        row = next(one for one in seen.queues if one.name == QUEUE)
        assert (row.stored, row.waiting, row.running, row.retrying, row.done, row.dead) == (8, 3, 1, 2, 1, 3)
        assert (row.handled, row.failed, row.died) == (1, 4, 3)
        assert row.oldest_seconds == pytest.approx(4)
        assert row.last_message_at == pytest.approx(clock.wall() - 1)
        assert (row.in_per_second, row.out_per_second, row.drain_seconds) == (None, None, None)
        assert seen.total_stored == 8
        assert seen.sizes.database_bytes > 0
        empty = next(one for one in seen.queues if one.name == EMPTY)
        assert (empty.stored, empty.oldest_seconds, empty.last_message_at, empty.needs) == (0, None, None, [])

    def test_needy_queues_come_first(self, filled: Filled) -> None:
        """Then by name."""
        for name in ("a", "z"):
            filled.store.declare(name)
        assert [one.name for one in overview(filled.store, filled.clock).queues] == [QUEUE, "a", EMPTY, "z"]

    def test_rates(self, filled: Filled, clock: FakeClock) -> None:
        """Those that were measured, else those of the last full minutes; how long until nothing waits."""
        store = filled.store
        minute(store, clock)
        put(store, clock, EMPTY, 120)
        minute(store, clock)
        handle(store, EMPTY, 60)
        minute(store, clock)
        row = next(one for one in overview(store, clock).queues if one.name == EMPTY)
        assert [row.in_per_second, row.out_per_second] == pytest.approx([1, 0.5])
        assert row.drain_seconds is None
        measured: Rates = lambda name: (1.0, 3.0) if name == EMPTY else None  # noqa: E731
        row = next(one for one in overview(store, clock, measured).queues if one.name == EMPTY)
        assert [row.in_per_second, row.out_per_second, row.drain_seconds] == pytest.approx([1, 3, 30])
        clock.advance(3_600)
        row = next(one for one in overview(store, clock).queues if one.name == EMPTY)
        assert row.in_per_second is None  # nobody knows the last minutes

    def test_tides_are_of_full_minutes(self, filled: Filled, clock: FakeClock) -> None:
        """At most those of the last hour, none after a gap."""
        store = filled.store
        minute(store, clock)
        put(store, clock, EMPTY, 60)
        minute(store, clock)
        clock.advance(120)  # nobody was there to record them
        put(store, clock, EMPTY, 600)
        minute(store, clock)
        row = next(one for one in overview(store, clock).queues if one.name == EMPTY)
        first = int(clock.wall() // 60) - 4
        assert [(one.minute, one.inflow, one.outflow) for one in row.last_hour] == [(first, 1.0, 0.0)]
        for _ in range(100):
            minute(store, clock)
        row = next(one for one in overview(store, clock).queues if one.name == EMPTY)
        assert [one.minute for one in row.last_hour] == list(
            range(int(clock.wall() // 60) - 60, int(clock.wall() // 60))
        )


class TestNeeds:
    """The rules of monitoring/prometheus/rules/fmq.yaml."""

    def test_dead_letters(self, filled: Filled, clock: FakeClock) -> None:
        """While there are some; another runbook once no more die."""
        store = filled.store
        assert needs(store, clock, QUEUE) == [("dead", "ask", "FmqDeadLetters")]
        store.purge_dead(QUEUE)
        assert needs(store, clock, QUEUE) == []
        put(store, clock, EMPTY)
        store.settle([(store.claim(EMPTY, 1, lease=60)[0], Dead("no", Cause.REJECTED))])
        for _ in range(15):
            minute(store, clock)
            assert needs(store, clock, EMPTY) == [("dead", "ask", "FmqDeadLetters")]
        minute(store, clock)
        minute(store, clock)
        assert needs(store, clock, EMPTY) == [("dead", "ask", "FmqDeadLettersKept")]

    def test_waiting(self, filled: Filled, clock: FakeClock) -> None:
        """Longer than 15 minutes."""
        store = filled.store
        put(store, clock, EMPTY)
        clock.advance(900)
        assert needs(store, clock, EMPTY) == []
        clock.advance(1)
        assert needs(store, clock, EMPTY) == [("waiting", "bad", "FmqMessagesWaitTooLong")]

    def test_no_progress(self, filled: Filled, clock: FakeClock) -> None:
        """Messages wait for 10 minutes and no attempt ends; not if the queue is paused, which says it already."""
        store = filled.store
        minute(store, clock)
        put(store, clock, EMPTY, 2)
        for _ in range(11):
            assert "no_progress" not in [kind for kind, _, _ in needs(store, clock, EMPTY)]
            minute(store, clock)
        assert ("no_progress", "bad", "FmqNoProgress") in needs(store, clock, EMPTY)
        store.pause(EMPTY, "relief")
        assert needs(store, clock, EMPTY) == [("paused", "ask", "FmqQueuePaused")]
        store.resume(EMPTY)
        handle(store, EMPTY)
        assert needs(store, clock, EMPTY) == []

    def test_a_planned_retry(self, filled: Filled, clock: FakeClock) -> None:
        """It needs nobody before its time, however long that takes."""
        store = filled.store
        minute(store, clock)
        put(store, clock, EMPTY)
        store.settle([(store.claim(EMPTY, 1, lease=60)[0], RetryLater(7_200))])
        for _ in range(20):
            minute(store, clock)
        assert needs(store, clock, EMPTY) == []
        clock.advance(7_200)
        assert ("waiting", "bad", "FmqMessagesWaitTooLong") in needs(store, clock, EMPTY)

    def test_an_open_circuit(self, filled: Filled, clock: FakeClock) -> None:
        """Only for queues whose messages wait for it."""
        store = filled.store
        put(store, clock, EMPTY)
        _, processor = reports(clock)
        state = {**processor.state, "circuit": "open: <refused>"}
        store.report(ServiceReport("processor a/2", "processor", "a", 2, "0.2.0", clock.wall(), state))
        assert needs(store, clock, EMPTY) == [("circuit", "ask", "FmqCircuitOpen")]
        handle(store, EMPTY)
        assert needs(store, clock, EMPTY) == []


def test_routes_of_a_processor(filled: Filled, clock: FakeClock) -> None:
    """With their limits; a closed circuit is not worth a word, and what can't be read is left out."""
    route = {
        "name": "fire",
        "queues": [QUEUE],
        "topics": ["a"],
        "handler": "log",
        "circuit": "closed",
        "rate": "9/s",
        "in_hand": 2,
    }
    odd = [{"name": 1}, "x", {**route, "queues": None}, {**route, "in_hand": -1, "circuit": "open: \ud800"}]
    report = ServiceReport("processor a/2", "processor", "a", 2, "0.2.0", clock.wall(), {"routes": [route, *odd]})
    filled.store.report(report)
    [seen] = [one for one in services(filled.store).services if one.name == report.name]
    first = RouteView(name="fire", queues=[QUEUE], topics=["a"], handler="log", circuit="", rate="9/s", in_hand=2)
    assert seen.routes == [first, first.model_copy(update={"in_hand": 0, "circuit": "open: \\ud800"})]


class TestWhole:
    """Needs of the store, and the sentences."""

    def whole(self, filled: Filled) -> list[tuple[str, str, str]]:
        return [(one.kind, one.text, one.runbook) for one in overview(filled.store, filled.clock).needs]

    def test_all_is_well(self, filled: Filled) -> None:
        assert self.whole(filled) == []
        filled.store.purge_dead(QUEUE)
        seen = overview(filled.store, filled.clock)
        assert seen.summary == "None of 2 queues needs you."
        assert seen.detail == "3 messages wait, the oldest 4 s. A listener and a processor are at work."

    def test_what_needs_you(self, filled: Filled, clock: FakeClock) -> None:
        """One queue, then two; a queue's name can do no harm."""
        assert overview(filled.store, clock).summary == "1 of 2 queues needs you: sensors/+/temp has 3 dead letters."
        name = "<b>\u202e" + "x" * 100
        filled.store.declare(name)
        filled.store.pause(name, "why")
        clock.advance(61)
        for report in reports(clock):
            filled.store.report(report)
        summary = overview(filled.store, clock).summary
        assert summary.startswith("2 of 3 queues need you: <b>\\u202exxx")
        assert summary.endswith("has been paused for 1 min and sensors/+/temp has 3 dead letters.")

    def test_a_service_that_is_away(self, filled: Filled, clock: FakeClock) -> None:
        """After 30 s; until it is back, or another has taken its place."""
        clock.advance(31)
        listener, processor = reports(clock)
        filled.store.report(listener)
        assert self.whole(filled) == [
            ("away", "the processor on a (process 2) has not reported for 31 s", "FmqTargetDown"),
        ]
        assert overview(filled.store, clock).detail.endswith("A listener is at work, but no processor.")
        assert overview(filled.store, clock).summary.startswith(
            "The processor on a (process 2) has not reported for 31 s, and 1 of 2 queues needs you: "
        )
        filled.store.report(ServiceReport("b", "processor", "b", 1, "0.2.0", clock.wall() - 3_600, processor.state))
        assert self.whole(filled), "a service that ran before does not replace it"
        filled.store.report(ServiceReport("b", "processor", "b", 1, "0.2.0", clock.wall(), processor.state))
        assert self.whole(filled) == []

    def test_a_listener_without_its_broker(self, filled: Filled, clock: FakeClock) -> None:
        state = {"queues": [QUEUE], "connected": False}
        filled.store.report(ServiceReport("listener a/1", "listener", "a", 1, "0.2.0", clock.wall(), state))
        assert self.whole(filled) == [
            ("away", "the listener on a (process 1) is not connected to its broker", "FmqListenerDisconnected")
        ]

    def test_nobody(self, filled: Filled) -> None:
        """Without any service, a queue is not served."""
        filled.store.withdraw("processor a/2")
        assert self.whole(filled) == [("away", "no processor is at work", "FmqAbsent")]
        filled.store.withdraw("listener a/1")
        assert self.whole(filled) == [("away", "no listener and no processor is at work", "FmqAbsent")]
        assert overview(filled.store, filled.clock).detail.endswith("No listener and no processor is at work.")

    def test_an_empty_store(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """It says what to do next."""
        backend = SqliteUnderTest(tmp_path_factory.mktemp("empty"))
        with backend.open() as store:
            seen = overview(store, backend.clock)
        assert (seen.queues, seen.needs) == ([], [])
        assert (seen.summary, seen.detail) == (
            "The store has no queues yet.",
            "A listener creates them: fmq listen TOPIC.",
        )


def test_reports_of_any_shape(filled: Filled, clock: FakeClock) -> None:
    """What is in a report is not trusted: whatever does not fit is unknown."""
    state: dict[str, object] = {
        "queues": {"a": 1},
        "connected": "yes",
        "in_hand": [],
        "time_in_system": [1],
        "circuit": 7,
    }
    filled.store.report(ServiceReport("x", "listener", "h", 1, "v", clock.wall(), state))
    assert overview(filled.store, clock).needs == []


def test_each_runbook_exists(filled: Filled, clock: FakeClock) -> None:
    """A need's runbook is a page."""
    from pathlib import Path  # noqa: PLC0415 - only here

    clock.advance(4_000)
    seen = overview(filled.store, clock)
    found: list[Need] = [*seen.needs, *(need for one in seen.queues for need in one.needs)]
    assert found
    runbooks = Path(__file__).parents[4] / "docs" / "runbooks"
    assert all((runbooks / f"{one.runbook}.md").is_file() for one in found)
