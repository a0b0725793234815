"""Several routes in one processor, each with queues of its own: on a real queue, with a clock moved by hand."""

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fmq import Message, Unavailable, batch_handler
from fmq.errors import SettingsError, WrongOrder
from fmq.service.log import ROUTE
from fmq_processor.runners.hooks import SetupFailed
from support.workbench import BenchRoute, RoutesBench, messages_of

TIMEOUT = 30.0


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


class Hanging:
    """A handler whose calls hang until the test lets them go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self, _message: Message) -> None:
        self.calls += 1
        self.go_on.wait()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    handle = Hanging()
    yield handle
    handle.go_on.set()


def _fine(_message: Message) -> None:
    """Done."""


def _failing(_message: Message) -> None:
    raise Unavailable(reason="it is down")


def test_a_hanging_and_a_failing_route_hold_up_no_other(tmp_path: Path, hanging: Hanging) -> None:
    """The others handle everything, and circuit, retries and counts are those of each route."""
    seen: list[int] = []

    @batch_handler
    async def batch(messages: list[Message]) -> None:
        seen.append(len(messages))

    bench = RoutesBench(
        tmp_path,
        BenchRoute("hangs", hanging, {"topics": ("hangs",)}),
        BenchRoute("fails", _failing, {"topics": ("fails",)}),
        BenchRoute("fine", _fine, {"topics": ("fine",), "batch": 50}),
        BenchRoute("batch", batch, {"topics": ("batch",), "batch": 100}),
    )
    with bench:
        for queue in ("hangs", "fails", "fine", "batch"):
            bench.put(*[b"x"] * 500, queue=queue)
        bench.turn_until(lambda: bench.stats("fine").done == bench.stats("batch").done == 500)
        bench.turn_until(lambda: bench.of_route("fmq_circuit_open", "fails") == 1)
        assert bench.stats("hangs").claimed == 10
        assert hanging.calls == 1
        assert max(seen) == 100
        assert bench.of_route("fmq_circuit_open", "fine") == 0
        assert bench.metric("fmq_route_processed_total", route="fine", outcome="done") == 500
        assert bench.metric("fmq_route_processed_total", route="batch", outcome="done") == 500
        assert bench.metric("fmq_route_processed_total", route="hangs", outcome="done") == 0
        assert bench.metric("fmq_route_processed_total", route="fails", outcome="deferred") >= 2
        assert bench.of_route("fmq_in_progress", "hangs") == 10


def test_new_messages_are_noticed_by_every_route(tmp_path: Path) -> None:
    """The store tells a change once; a route that sleeps longer than another one notices it all the same."""
    bench = RoutesBench(
        tmp_path,
        BenchRoute("a", _fine, {"topics": ("a",), "sleep": 0}),
        BenchRoute("b", _fine, {"topics": ("b",), "sleep": 3600}),
    )
    with bench:
        bench.put(queue="a")
        bench.put(queue="b")
        bench.turn(3)
        bench.put(b"x", queue="b")
        bench.turn_until(lambda: bench.stats("b").done == 1, 5)


def test_a_route_whose_calls_hang_gets_a_new_handler(
    tmp_path: Path, hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    """And the process goes on; each message that hung has lost one attempt for each call."""
    caplog.set_level(logging.INFO)
    route = BenchRoute(
        "hangs", hanging, {"topics": ("hangs",), "handler_timeout": TIMEOUT, "circuit_failures": 0, "max_retries": 0}
    )
    with RoutesBench(tmp_path, route, BenchRoute("fine", _fine, {"topics": ("fine",)})) as bench:
        bench.put(*[b"x"] * 8, queue="hangs")
        for number in range(6):
            bench.turn_until(lambda number=number: hanging.calls == number + 1)  # type: ignore[misc]
            bench.turn(2)
            bench.clock.advance(TIMEOUT + 1)
        bench.turn_until(lambda: not bench.worker.is_ready)
        bench.clock.advance(TIMEOUT)  # the seventh call is waited for, as at a shutdown
        bench.turn_until(lambda: route.made == [1])
        bench.turn_until(lambda: hanging.calls == 8)
        assert messages_of(caplog.records, "Replacing the handler of route hangs: 6 handler calls hang")
        assert messages_of(caplog.records, "Route hangs has a new handler")
        assert bench.of_route("fmq_route_replacements_total", "hangs") == 1
        assert bench.worker.lanes[0].abandoned == 7
        assert bench.stats("hangs").dead == 7
        bench.put(b"x", queue="fine")
        bench.turn_until(lambda: bench.stats("fine").done == 1)
        hanging.go_on.set()
        bench.turn_until(lambda: bench.stats("hangs").done == 1)
        bench.turn_until(lambda: bench.worker.lanes[0].abandoned == 0)
        assert bench.stats("hangs").dead == 7  # the results of calls that hung have no effect


def test_a_blocked_event_loop_is_left_behind(tmp_path: Path, hanging: Hanging) -> None:
    """Its route goes on in a new one: the message that blocked it has lost an attempt, the others none."""
    blocked: list[int] = []

    async def handle(message: Message) -> None:
        if message.payload == b"bad" and not blocked:
            blocked.append(message.id)
            hanging(message)
        await asyncio.sleep(0)

    route = BenchRoute(
        "loop", handle, {"topics": ("loop",), "handler_timeout": TIMEOUT, "circuit_failures": 0, "backoff_initial": 0}
    )
    with RoutesBench(tmp_path, route, BenchRoute("fine", _fine, {"topics": ("fine",)})) as bench:
        bench.put(b"bad", b"good", b"good", queue="loop")
        bench.turn_until(lambda: bool(blocked))
        bench.turn_until(lambda: bench.worker.lanes[0].worker.holds == 3)
        bench.turn(2)
        for _ in range(4):
            bench.clock.advance(TIMEOUT / 2)
            bench.turn(2)
        bench.turn_until(lambda: bench.stats("loop").done == 3)
        assert route.made == [1]
        assert bench.worker.lanes[0].abandoned == 1


def test_too_many_calls_that_hang_end_the_process(
    tmp_path: Path, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abandoned threads are bounded."""
    monkeypatch.setattr("fmq_processor.engine.supervisor.MOST_ABANDONED", 5)
    settings = {"handler_timeout": TIMEOUT, "circuit_failures": 0, "max_retries": 0, "grace_seconds": 0}
    routes = [BenchRoute(name, hanging, {"topics": (name,), **settings}) for name in ("hangs", "too")]
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(*[b"x"] * 8, queue="hangs")
        for number in range(6):
            bench.turn_until(lambda number=number: hanging.calls == number + 1)  # type: ignore[misc]
            bench.turn(2)
            bench.clock.advance(TIMEOUT + 1)
        assert "handler calls hang, and a thread can't be stopped" in (bench.worker.run(bench.shutdown) or "")


def test_a_set_up_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    """Its own messages wait; and the shutdown waits for it no longer than the grace period."""
    go_on = threading.Event()
    slow = BenchRoute("slow", _fine, {"topics": ("slow",), "grace_seconds": 0}, setup=go_on.wait)
    with RoutesBench(tmp_path, slow, BenchRoute("fine", _fine, {"topics": ("fine",), "grace_seconds": 0})) as bench:
        bench.put(b"x", queue="slow")
        bench.put(b"x", queue="fine")
        bench.turn_until(lambda: bench.stats("fine").done == 1)
        assert bench.stats("slow").pending == 1
        assert not bench.worker.is_ready
        bench.shutdown.request()
        assert bench.worker.run(bench.shutdown) == "the handler's setup did not end in time"
        go_on.set()


def test_a_replacement_is_waited_for_without_a_busy_loop(tmp_path: Path, hanging: Hanging) -> None:
    """Also if the worker had just claimed more for its free calls when the replacement began."""
    go_on, setups = threading.Event(), list[int]()

    def setup() -> None:
        setups.append(1)
        if len(setups) > 1:
            go_on.wait(10)

    @batch_handler
    def hang(messages: Sequence[Message]) -> None:
        hanging(messages[0])

    settings = {"batch": 1, "concurrency": 2, "handler_timeout": TIMEOUT, "circuit_failures": 0, "grace_seconds": 0}
    one = BenchRoute("one", hang, {**settings, "topics": ("one",)}, setup=setup)
    with RoutesBench(tmp_path, one, BenchRoute("two", _fine, {"topics": ("two",)})) as bench:
        bench.put(*[b"x"] * 60, queue="one")
        lane = bench.worker.lanes[0]
        bench.turn_until(lambda: lane.is_ready)
        for began in range(2, 60, 2):
            bench.turn_until(lambda began=began: hanging.calls >= began or not lane.is_ready)  # type: ignore[misc]
            bench.turn(1)
            bench.clock.advance(TIMEOUT + 1)
            for _ in range(4):
                bench.turn(int(lane.is_ready))  # no further, so that what it leaves behind is seen
        bench.turn_until(lambda: len(setups) == 2)
        assert lane.tick > 0
        go_on.set()


@pytest.mark.parametrize(
    ("raised", "ends"), [(OSError("no disk"), SetupFailed), (SettingsError("no disk"), SettingsError)]
)
def test_a_set_up_that_fails_at_start_ends_the_process(
    tmp_path: Path, raised: Exception, ends: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """What other routes have in hand is settled before. The log says which route it was."""

    def setup() -> None:
        raise raised

    bad = BenchRoute("bad", _fine, {"topics": ("bad",)}, setup=setup)
    fine = BenchRoute("fine", _fine, {"topics": ("fine",)})
    with pytest.raises(ends, match="no disk"), RoutesBench(tmp_path, bad, fine) as bench:
        bench.worker.run(bench.shutdown)
    assert any("Route bad can't be set up: " in line and "no disk" in line for line in caplog.messages)


def test_a_set_up_that_fails_again_is_repeated(tmp_path: Path, hanging: Hanging) -> None:
    """After a replacement a set-up that fails does not end the process: it is tried again, less and less often."""
    tries: list[int] = []

    def setup() -> None:
        tries.append(1)
        if 1 < len(tries) < 4:
            raise OSError("no disk")

    route = BenchRoute(
        "hangs",
        hanging,
        {"topics": ("hangs",), "handler_timeout": TIMEOUT, "circuit_failures": 0, "max_retries": 0},
        setup=setup,
    )
    with RoutesBench(tmp_path, route, BenchRoute("fine", _fine, {"topics": ("fine",)})) as bench:
        bench.put(*[b"x"] * 8, queue="hangs")
        for number in range(6):
            bench.turn_until(lambda number=number: hanging.calls == number + 1)  # type: ignore[misc]
            bench.turn(2)
            bench.clock.advance(TIMEOUT + 1)
        bench.turn_until(lambda: not bench.worker.is_ready)
        bench.clock.advance(TIMEOUT)
        bench.turn_until(lambda: len(tries) == 2)
        bench.put(b"x", queue="fine")
        bench.turn_until(lambda: bench.stats("fine").done == 1)
        assert len(tries) == 2

        def tried_again() -> bool:
            bench.clock.advance(1)
            return len(tries) == 4

        bench.turn_until(tried_again)
        bench.turn_until(lambda: hanging.calls == 8)
        assert len(tries) == 4


def test_log_lines_of_handlers_name_their_route(tmp_path: Path) -> None:
    """In threads and in an event loop."""
    names: dict[str, set[str]] = {"plain": set(), "loop": set()}

    def plain(_message: Message) -> None:
        names["plain"].add(ROUTE.get())

    async def loop(_message: Message) -> None:
        names["loop"].add(ROUTE.get())

    routes = (BenchRoute("plain", plain, {"topics": ("plain",)}), BenchRoute("loop", loop, {"topics": ("loop",)}))
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(b"x", queue="plain")
        bench.put(b"x", queue="loop")
        bench.turn_until(lambda: bench.stats("plain").done == bench.stats("loop").done == 1)
        assert names == {"plain": {"plain"}, "loop": {"loop"}}


def test_the_shutdown_drains_all_routes_together(tmp_path: Path, hanging: Hanging) -> None:
    """One grace period for all; what still runs then counts as an attempt, what has not started does not."""
    routes = [BenchRoute(name, hanging, {"topics": (name,), "grace_seconds": 0}) for name in ("a", "b")]
    with RoutesBench(tmp_path, *routes) as bench:
        for queue in ("a", "b"):
            bench.put(*[b"x"] * 5, queue=queue)
        bench.turn_until(lambda: hanging.calls == 2)
        bench.shutdown.request()
        assert bench.worker.run(bench.shutdown) is None
        for queue in ("a", "b"):
            assert bench.states(queue) == (5, 0, 0, 0)
            assert sorted(claim.attempt for claim in bench.other.claim(queue, 10, lease=60)) == [1, 1, 1, 1, 2]


def test_a_queue_in_another_order_ends_all_routes(tmp_path: Path) -> None:
    """As with one route; messages of the others are settled."""
    routes = (
        BenchRoute("fine", _fine, {"topics": ("fine",)}),
        BenchRoute("wrong", _fine, {"topics": ("wrong",), "ordered": True}),
    )
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(*[b"x"] * 5, queue="fine")
        bench.put(b"x", queue="wrong")
        bench.other.claim("wrong", 1, lease=60, ordered=False)
        with pytest.raises(WrongOrder):
            bench.worker.run(bench.shutdown)
        assert bench.stats("fine").claimed == 0


def test_suspects_of_two_routes_take_turns(tmp_path: Path, hanging: Hanging) -> None:
    """A message that kills its worker must not take that of another route with it; one that hangs is not waited for long."""
    settings = {"handler_timeout": 0, "lease_seconds": 600}
    routes = (
        BenchRoute("a", hanging, {"topics": ("a",), **settings}),
        BenchRoute("b", _fine, {"topics": ("b",), **settings}),
    )
    with RoutesBench(tmp_path, *routes) as bench:
        for queue in ("a", "b"):
            bench.put(b"x", queue=queue)
            bench.other.claim(queue, 1, lease=1)  # by a worker that dies
        bench.clock.advance(2)
        bench.turn_until(lambda: hanging.calls == 1)
        bench.turn(5)
        assert bench.states("b") == (1, 0, 0, 0)  # not held: its lease would end with that of the other one
        bench.clock.advance(2)
        bench.turn(5)
        assert bench.states("b") == (1, 0, 0, 0)
        bench.clock.advance(5)
        bench.turn_until(lambda: bench.stats("b").done == 1)
        assert bench.stats("a").claimed == 1
