"""Routes that share a queue: on a real queue, with a clock moved by hand."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, Unavailable
from fmq.message import Claim
from support.counting import counted, counters
from support.workbench import QUEUE, BenchRoute, RoutesBench, messages_of

MINUTES = 300.0


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


class Recorder:
    """A handler that notes the topic and payload of each message. Calls wait while it is held."""

    def __init__(self, *, held: bool = False) -> None:
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()
        self.seen: list[tuple[str, bytes]] = []

    def __call__(self, message: Message) -> None:
        self.go_on.wait()
        self.seen.append((message.topic, message.payload))

    @property
    def topics(self) -> set[str]:
        return {topic for topic, _ in self.seen}

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.seen]


@pytest.fixture
def held() -> Iterator[Recorder]:
    recorder = Recorder(held=True)
    yield recorder
    recorder.go_on.set()


def _routes(fire: Any, rest: Any, **settings: Any) -> tuple[BenchRoute, BenchRoute]:  # noqa: ANN401 - handlers, settings
    given = {"topics": (QUEUE,), **settings}
    return BenchRoute("fire", fire, given, topics=("fire/#",)), BenchRoute("rest", rest, given)


def _numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def _claims(bench: RoutesBench) -> list[int]:
    """The sizes of all claims from now on."""
    sizes: list[int] = []
    claim = bench.queue.claim

    def counting(*given: Any, **options: Any) -> Any:  # noqa: ANN401 - as the store has it
        claims = claim(*given, **options)
        sizes.append(len(claims))
        return claims

    bench.queue.claim = counting  # type: ignore[method-assign]
    return sizes


def test_each_message_reaches_the_first_route_that_wants_it(tmp_path: Path) -> None:
    """And no other; both have all of theirs, each once."""
    fire, rest = Recorder(), Recorder()
    with RoutesBench(tmp_path, *_routes(fire, rest)) as bench:
        for number in _numbered(50):
            bench.put(number, topic="fire/1")
            bench.put(number, topic="water")
        bench.turn_until(lambda: bench.stats().done == 100)
        assert fire.topics == {"fire/1"}
        assert rest.topics == {"water"}
        assert sorted(fire.payloads) == sorted(rest.payloads) == sorted(_numbered(50))
        assert bench.metric("fmq_route_processed_total", route="fire") == 50
        assert bench.metric("fmq_route_processed_total", route="rest") == 50
        assert counted(bench.path) == counters(bench.path)


def test_a_route_with_room_gets_a_message_at_once(tmp_path: Path) -> None:
    """From the hands of the route that claimed it: nothing is set aside."""
    fire, rest = Recorder(), Recorder()
    with RoutesBench(tmp_path, *_routes(fire, rest, batch=100)) as bench:
        bench.put(*_numbered(20), topic="fire/1")
        bench.put(*_numbered(20), topic="water")
        bench.turn_until(lambda: bench.stats().done == 40)
        assert bench.metric("fmq_route_parked_total") == 0


def test_a_hanging_route_holds_up_no_other(tmp_path: Path, held: Recorder) -> None:
    """However many messages it has before theirs, each of them is moved once, and theirs are handled."""
    rest = Recorder()
    with RoutesBench(tmp_path, *_routes(held, rest, handler_timeout=0)) as bench:
        sizes = _claims(bench)
        bench.put(*_numbered(3_000), topic="fire/1")
        bench.put(b"x", topic="water")
        bench.turn_until(lambda: bench.stats().done == 1)
        assert bench.states() == (2_980, 20, 1, 0)
        assert bench.of_route("fmq_route_parked_total", "fire") == 2_980
        assert sum(sizes) == 3_001
        assert len(sizes) < 100
        bench.put(*_numbered(100), topic="water")
        bench.turn_until(lambda: bench.stats().done == 101)
        assert bench.of_route("fmq_route_parked_total", "fire") == 2_980
        assert bench.other.retrying(QUEUE) == 0
        assert counted(bench.path) == counters(bench.path)
        held.go_on.set()
        bench.turn_until(lambda: bench.stats().done == 3_101, 30)
        assert held.payloads == _numbered(3_000)  # in its order
        assert bench.of_route("fmq_route_parked_total", "fire") == 2_980
        assert sum(sizes) == 3_101 + 2_980


def test_a_slow_route_does_not_starve(tmp_path: Path, held: Recorder) -> None:
    """What was set aside for it is handled in its order, while more comes for both."""
    rest = Recorder()
    with RoutesBench(tmp_path, *_routes(held, rest, batch=5)) as bench:
        bench.put(*_numbered(200), topic="fire/1")
        bench.put(b"x", topic="water")
        bench.turn_until(lambda: bench.stats().done == 1)
        held.go_on.set()
        for _ in range(10):
            bench.put(*_numbered(10), topic="water")
            bench.turn(2)
        bench.turn_until(lambda: bench.stats().done == 301)
        assert held.payloads == _numbered(200)


def test_a_route_whose_target_is_down_holds_up_no_other(tmp_path: Path) -> None:
    """Its messages are set aside, lose no attempt, and are its probes; then all are handled."""
    down = [True]

    def fire(_message: Message) -> None:
        if down:
            raise Unavailable(reason="it is down")

    rest = Recorder()
    with RoutesBench(tmp_path, *_routes(fire, rest)) as bench:
        bench.put(*_numbered(500), topic="fire/1")
        bench.put(*_numbered(500), topic="water")
        bench.turn_until(lambda: bench.stats().done == 500)
        bench.turn_until(lambda: bench.of_route("fmq_circuit_open", "fire") == 1)
        assert bench.of_route("fmq_circuit_open", "rest") == 0

        def probed() -> bool:
            bench.clock.advance(10)
            return bench.of_route("fmq_circuit_probes_total", "fire") > 2

        bench.turn_until(probed)
        assert bench.metric("fmq_retries_total") == 0
        down.clear()

        def all_done() -> bool:
            bench.clock.advance(1)
            return bench.stats().done == 1_000

        bench.turn_until(all_done)
        assert bench.stats().failed == 0


def test_a_suspect_that_was_set_aside_is_handled_alone(tmp_path: Path) -> None:
    """For whatever reason it was set aside: its worker died, so it must not take other messages with it."""
    is_up = threading.Event()
    held: dict[bytes, int] = {}

    def fire(message: Message) -> None:
        held[message.payload] = sum(lane.worker.holds for lane in bench.worker.lanes)

    rest = Recorder()
    routes = (
        BenchRoute("fire", fire, {"topics": (QUEUE,)}, topics=("fire/#",), setup=is_up.wait),
        BenchRoute("rest", rest, {"topics": (QUEUE,)}),
    )
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(*_numbered(8), topic="fire/1")
        bench.put(*_numbered(8), topic="water")
        bench.borrow(16, lease=1)  # by a worker that dies
        bench.clock.advance(2)
        bench.turn_until(lambda: bench.stats().done == 8)
        bench.turn_until(lambda: bench.of_route("fmq_route_parked_total", "fire") == 8)
        bench.put(*[b"x"] * 8, topic="fire/1")
        bench.put(b"x", topic="water")
        is_up.set()

        def all_done() -> bool:
            bench.clock.advance(0.1)
            return bench.stats().done == 25

        bench.turn_until(all_done)
        assert [held[number] for number in _numbered(8)] == [1] * 8
        assert bench.stats().failed == 16


def test_it_heals_after_a_change_of_routes(tmp_path: Path, held: Recorder) -> None:
    """A processor that knows nothing of the route gets what was set aside for it, after minutes at the latest."""
    with RoutesBench(tmp_path, *_routes(held, Recorder(), handler_timeout=0)) as bench:
        bench.put(*_numbered(100), topic="fire/1")
        bench.put(b"x", topic="water")
        bench.turn_until(lambda: bench.stats().done == 1)
        assert not bench.borrow(1)
        bench.clock.advance(MINUTES + 1)
        claims: list[Claim] = []
        while some := bench.borrow(100):  # those whose leases have run out come alone
            claims += [claim for claim in some if not claim.suspect]
        assert [claim.attempt for claim in claims] == [1] * 80


def test_what_no_route_wants_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In its queue, with a warning; others are not held up, and another processor may take it later."""
    fire = Recorder()
    route = BenchRoute("fire", fire, {"topics": (QUEUE,)}, topics=("fire/#", "smoke"))
    with RoutesBench(tmp_path, route) as bench:
        bench.put(*_numbered(50), topic="water")
        bench.put(b"x", topic="fire/1")
        bench.put(b"x", topic="smoke")
        bench.turn_until(lambda: bench.stats().done == 2)
        bench.turn(5)
        assert bench.states() == (50, 0, 2, 0)
        assert bench.metric("fmq_unrouted_total") == 50
        (line,) = messages_of(caplog.records, "No route takes messages of dstdb with the topic water")
        assert line.levelno == logging.WARNING
        bench.clock.advance(MINUTES + 1)
        assert len(bench.borrow(100)) == 50


def test_order_by_topic_holds(tmp_path: Path, held: Recorder) -> None:
    """With FMQ_ORDERED all messages of a topic go to one route, one after the other; the topics of other routes go on."""
    rest = Recorder()
    with RoutesBench(tmp_path, *_routes(held, rest, ordered=True, handler_timeout=0)) as bench:
        for number in _numbered(20):
            for topic in ("fire/1", "fire/2", "water", "air"):
                bench.put(number, topic=topic)
        bench.turn_until(lambda: bench.stats().done == 40)
        held.go_on.set()
        bench.turn_until(lambda: bench.stats().done == 80)
        for recorder, topics in ((held, ("fire/1", "fire/2")), (rest, ("water", "air"))):
            for topic in topics:
                assert [payload for one, payload in recorder.seen if one == topic] == _numbered(20)


def test_a_route_for_all_queues_shares_them(tmp_path: Path, held: Recorder) -> None:
    """The queues that it finds as well as those of other routes."""
    rest = Recorder()
    routes = (
        BenchRoute("fire", held, {"topics": (QUEUE,), "handler_timeout": 0}, topics=("fire/#",)),
        BenchRoute("rest", rest),
    )
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(*_numbered(30), topic="fire/1")
        bench.put(b"x", topic="water")
        bench.put(b"x", topic="fire/1", queue="another")
        bench.turn_until(lambda: len(rest.seen) == 2)
        assert sorted(rest.seen) == [("fire/1", b"x"), ("water", b"x")]
        assert bench.stats().pending == 10


def test_a_route_that_is_drained_takes_nothing_over(tmp_path: Path, held: Recorder) -> None:
    """At the shutdown nothing more is claimed, and what was handed over is settled or given back."""
    rest = Recorder()
    with RoutesBench(tmp_path, *_routes(held, rest, grace_seconds=0)) as bench:
        bench.put(*_numbered(30), topic="fire/1")
        bench.turn_until(lambda: bench.worker.lanes[0].worker.holds >= 10)
        bench.shutdown.request()
        assert bench.worker.run(bench.shutdown) is None
        assert bench.stats().claimed == 0
        assert counted(bench.path) == counters(bench.path)


def test_memory_is_bounded_by_the_route_that_takes_over(tmp_path: Path, held: Recorder) -> None:
    """FMQ_BATCH_BYTES of the route itself, and of the one that claims for it."""
    rest = Recorder()
    settings = {"topics": (QUEUE,), "batch": 100, "handler_timeout": 0}
    routes = (
        BenchRoute("fire", held, {**settings, "batch_bytes": 1_000}, topics=("fire/#",)),
        BenchRoute("rest", rest, settings),
    )
    with RoutesBench(tmp_path, *routes) as bench:
        bench.put(*[b"x" * 400] * 20, topic="fire/1")
        bench.put(b"x", topic="water")
        bench.turn_until(lambda: bench.stats().done == 1)
        assert bench.stats().claimed == 3  # the last one may exceed the limit
