"""``fmq process --drain``: a processor that ends when nothing is due, on a real store, with a clock moved by hand."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from fmq import Message, Reject, Retry, Unavailable
from fmq.message import Incoming, Terms
from fmq.store.records import ServiceReport
from fmq_processor.engine.end_when_idle import EndWhenIdle
from fmq_processor.engine.supervisor import Supervisor
from support.workbench import QUEUE, BenchRoute, RoutesBench, messages_of

REST = {"name": "rest", "queues": [QUEUE], "topics": ["water"]}


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


class Draining(RoutesBench):
    """Workers that have to end when they are idle: of ``routes``, or one. ``patience`` in seconds."""

    def __init__(
        self,
        folder: Path,
        handle: Any = None,  # noqa: ANN401 - as the base class has it
        *,
        routes: Sequence[BenchRoute] = (),
        patience: float = 0.0,
        **settings: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(folder, *(routes or [BenchRoute("main", handle, settings)]))
        self.drain = EndWhenIdle(
            self.worker,
            store=self.queue,
            metrics=self.metrics,
            shutdown=self.shutdown,
            clock=self.clock,
            patience=patience,
        )

    def rounds(self, count: int = 20) -> bool:
        """Go round ``count`` times. Returns whether it has ended."""
        for _ in range(count):
            if self.shutdown.requested:
                break
            self.worker.turn()
            self.drain.after_turn()
        return self.shutdown.requested

    def until_over(self) -> None:
        self.turn_until(lambda: self.rounds(4), what="the end of the drain")


def test_ends_once_everything_due_is_handled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not before, however many batches and queues there are."""
    caplog.set_level(logging.INFO)
    with Draining(tmp_path, lambda _: None, batch=10) as bench:
        bench.put(*[b"x"] * 95)
        bench.put(*[b"x"] * 25, queue="other")
        bench.until_over()
        assert bench.states() == (0, 0, 95, 0)
        assert bench.states("other") == (0, 0, 25, 0)
        assert bench.drain.report()
    assert messages_of(caplog.records, "Drained: nothing is due in 2 queues")


def test_an_empty_store_ends_at_once(tmp_path: Path) -> None:
    """It waits for no first message."""
    with Draining(tmp_path, lambda _: None) as bench:
        bench.until_over()
        assert bench.drain.report()


def test_a_queue_that_does_not_exist_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its name may be misspelt. The nearest names are logged; other queues are drained."""
    with Draining(tmp_path, lambda _: None, topics=(QUEUE, "dstbd", "later")) as bench:
        bench.put(b"x")
        bench.until_over()
        bench.put(b"x", queue="later")  # a listener has created it meanwhile
        assert not bench.drain.report()
        assert bench.stats().done == 1
    lines = [record.getMessage() for record in caplog.records if "has no queue" in record.getMessage()]
    assert [("'dstbd'" in line, "Did you mean 'dstdb'?" in line) for line in lines] == [(True, True)]


def test_retries_that_wait_for_later_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are not due, so the drain succeeds, and says when the next one is."""
    caplog.set_level(logging.INFO)

    def handle(message: Message) -> None:
        raise Retry(after=40.0 if message.payload == b"soon" else 80.0)

    with Draining(tmp_path, handle, circuit_failures=0) as bench:
        bench.put(b"later", b"soon")
        bench.until_over()
        assert bench.drain.report()
        assert bench.states() == (2, 0, 0, 0)
    (line,) = messages_of(caplog.records, "waiting for later")
    assert "Queue dstdb: 2 messages waiting for later; the next one is due in 40.0 s, at " in line.getMessage()


def test_it_waits_for_what_is_due_within_the_patience(tmp_path: Path) -> None:
    """A retry and a delayed message; each handled message renews the patience. Later ones are left."""
    seen: list[bytes] = []

    def handle(message: Message) -> None:
        seen.append(message.payload)
        if message.payload == b"again" and seen.count(b"again") == 1:
            raise Retry(after=50.0)

    with Draining(tmp_path, handle, patience=60.0, circuit_failures=0) as bench:
        bench.put(b"again")
        for payload, delay in ((b"delayed", 100.0), (b"too late", 300.0)):
            incoming = Incoming(QUEUE, QUEUE, payload, bench.clock.wall())
            bench.other.put([incoming], terms={0: Terms(delay=delay)})
        bench.turn_until(lambda: bench.rounds(4) or seen)
        for _ in range(40):
            if bench.rounds():
                break
            bench.clock.advance(5)
        assert bench.shutdown.requested
        assert seen == [b"again", b"again", b"delayed"]
        assert bench.drain.report()
        assert bench.states() == (1, 0, 2, 0)


def test_a_dead_letter_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of this run, not an old one. The other messages are handled all the same."""

    def handle(message: Message) -> None:
        if message.payload == b"bad":
            raise Reject("bad")

    with Draining(tmp_path, handle) as bench:
        bench.put(b"x", b"bad", b"x")
        bench.until_over()
        assert bench.states() == (0, 0, 2, 1)
        assert not bench.drain.report()
    assert messages_of(caplog.records, "1 message moved to dead letters")


def test_an_open_circuit_ends_it_with_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A target that is down could keep it running forever."""

    def handle(_: Message) -> None:
        raise Unavailable

    with Draining(tmp_path, handle, batch=1) as bench:
        bench.put(*[b"x"] * 5)
        bench.until_over()
        assert not bench.drain.report()
        assert bench.states() == (5, 0, 0, 0)
    assert messages_of(caplog.records, "Queue dstdb: 5 messages left, since the handler's target is down")


def test_with_patience_a_target_that_is_down_is_tried_until_it_is_back(tmp_path: Path) -> None:
    """And no longer than the patience."""
    down = [True]

    def handle(_: Message) -> None:
        if down[0]:
            raise Unavailable

    with Draining(tmp_path, handle, batch=1, patience=100.0, circuit_maximum=10.0) as bench:
        bench.put(*[b"x"] * 3)
        for _ in range(10):
            assert not bench.rounds()
            bench.clock.advance(5)
        down[0] = False
        for _ in range(10):
            bench.clock.advance(5)
            if bench.rounds(200):
                break
        assert bench.states() == (0, 0, 3, 0)
        assert bench.drain.report()


@pytest.mark.parametrize("patience", [0.0, 1000.0])
def test_a_paused_queue_is_not_waited_for(tmp_path: Path, patience: float, caplog: pytest.LogCaptureFixture) -> None:
    """Only an operator resumes it. Its due messages are left, which is a failure; those of other queues are handled."""
    with Draining(tmp_path, lambda _: None, patience=patience) as bench:
        bench.put(b"x")
        bench.put(b"x", queue="other")
        bench.other.pause(QUEUE, "repairs")
        bench.until_over()
        assert bench.states() == (1, 0, 0, 0)
        assert bench.states("other") == (0, 0, 1, 0)
        assert not bench.drain.report()
    assert messages_of(caplog.records, "Queue dstdb: 1 message due, but the queue is paused: repairs")


def test_messages_of_other_processors_are_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are not due as long as their leases last, and are named."""
    caplog.set_level(logging.INFO)
    with Draining(tmp_path, lambda _: None) as bench:
        bench.put(b"x", b"y")
        bench.borrow()
        bench.until_over()
        assert bench.states() == (0, 1, 1, 0)
        assert bench.drain.report()
    assert messages_of(caplog.records, "Queue dstdb: 1 message lent to other processors")


def test_an_unavailable_store_is_waited_for(tmp_path: Path) -> None:
    """Whether anything is due is not known meanwhile."""
    with Draining(tmp_path, lambda _: None) as bench:
        bench.put(b"x")
        with bench.locked():
            assert not bench.rounds(5)
        bench.clock.advance(10)
        bench.until_over()
        assert bench.states() == (0, 0, 1, 0)


def test_a_signal_before_the_end_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A caller must not take the queues for drained."""
    with Draining(tmp_path, lambda _: None) as bench:
        bench.put(b"x")
        bench.shutdown.request()
        assert not bench.drain.report()
    assert messages_of(caplog.records, "Stopped before the queues were drained")


def test_all_routes_are_drained(tmp_path: Path) -> None:
    """Also what one of them has set aside for another one, which had no room."""
    seen: list[str] = []
    routes = [
        BenchRoute(
            name, lambda message: seen.append(message.topic), {"topics": (QUEUE,), "batch": 3}, topics=(f"{name}/#",)
        )
        for name in ("a", "b")
    ]
    with Draining(tmp_path, routes=routes) as bench:
        bench.put(*[b"x"] * 60, topic="b/1")
        bench.put(*[b"x"] * 30, topic="a/1")
        bench.until_over()
        assert bench.states() == (0, 0, 90, 0)
        assert bench.drain.report()
    assert (seen.count("a/1"), seen.count("b/1")) == (30, 60)


def test_messages_wait_for_a_rate_and_are_drained(tmp_path: Path) -> None:
    """They are due, only not at once."""
    with Draining(tmp_path, lambda _: None, rate_limit="1/s") as bench:
        bench.put(b"x", b"y", b"z")
        assert not bench.rounds(50)
        for _ in range(20):
            bench.clock.advance(0.25)
            if bench.rounds(50):
                break
        assert bench.shutdown.requested
        assert bench.states() == (0, 0, 3, 0)


def test_it_waits_for_what_is_in_hand(tmp_path: Path) -> None:
    """Though nothing else is due: the call may fail, and be tried again at once."""
    go_on = threading.Event()
    with Draining(tmp_path, lambda _: go_on.wait(10)) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.worker.holds)
        assert not bench.rounds()
        go_on.set()
        bench.until_over()
        assert bench.states() == (0, 0, 1, 0)


class _Route:
    """A processor with one route, which holds nothing, and whose looks the test decides."""

    holds = 0
    probe_at = setup_at = None
    served = ()
    is_releasing = False

    def __init__(self) -> None:
        self.found_nothing = True
        self.worker = self.claiming = self.neighbours = self
        self.lanes = [self]

    def look_again(self) -> None:
        self.found_nothing = False


def test_each_route_looks_again_before_the_end(tmp_path: Path) -> None:
    """Another one may have set messages aside for it after its last look. What is about to be released is waited for."""
    with Draining(tmp_path, lambda _: None) as bench:
        route = _Route()
        end = EndWhenIdle(
            cast("Supervisor", route),
            store=bench.queue,
            metrics=bench.metrics,
            shutdown=bench.shutdown,
            clock=bench.clock,
        )
        end.after_turn()
        end.after_turn()
        assert not bench.shutdown.requested
        route.found_nothing = route.is_releasing = True
        end.after_turn()
        assert not bench.shutdown.requested
        route.is_releasing = False
        end.after_turn()
        assert not bench.shutdown.requested
        route.found_nothing = True
        end.after_turn()
        assert bench.shutdown.requested


def test_messages_that_wait_for_a_route_are_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those of no route, and those of another processor's route: a failure, though they are not due."""
    route = BenchRoute("fire", lambda _: None, {"topics": (QUEUE,)}, topics=("fire/#",))
    with Draining(tmp_path, routes=[route]) as bench:
        bench.other.report(ServiceReport("p", "processor", "host", 7, "1", 0.0, {"routes": [REST]}))
        for topic in ("fire/1", "water", "water", "air"):
            bench.put(b"x", topic=topic)
        bench.until_over()
        assert bench.states() == (3, 0, 1, 0)
        assert not bench.drain.report()
    assert messages_of(caplog.records, "Queue dstdb: 2 messages left set aside for the route rest")
    assert messages_of(caplog.records, "Queue dstdb: 1 message left that no route takes")


def test_a_handler_that_can_not_be_set_up_again_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After it was replaced, since its calls hung. Its messages are left."""
    go_on = threading.Event()
    tries: list[int] = []

    def setup() -> None:
        tries.append(1)
        if len(tries) > 1:
            raise OSError("no disk")

    hangs = BenchRoute(
        "hangs",
        lambda _: go_on.wait(30),
        {"topics": ("hangs",), "handler_timeout": 10, "circuit_failures": 0, "max_retries": 0},
        setup=setup,
    )
    with Draining(tmp_path, routes=[hangs, BenchRoute("fine", lambda _: None, {"topics": (QUEUE,)})]) as bench:
        bench.put(*[b"x"] * 8, queue="hangs")
        bench.put(b"x")

        def is_over() -> bool:
            bench.clock.advance(1)
            return bench.rounds(4)

        bench.turn_until(is_over, what="the end of the drain")
        go_on.set()
        assert len(tries) > 1
        assert not bench.drain.report()
        assert bench.stats("hangs").pending
    assert messages_of(caplog.records, "left, since the handler can't be set up again")
