"""Processors with other routes on the same queue, and routes that change: on a real queue, with a clock moved by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmq import Message
from fmq.outcome import GiveBack
from fmq.store.records import ServiceReport
from support.workbench import QUEUE, BenchRoute, RoutesBench

MINUTES = 300.0
FIRE = {"name": "fire", "queues": [QUEUE], "topics": ["fire/#"]}
REST = {"name": "rest", "queues": [QUEUE], "topics": ["water"]}


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


def _fine(_message: Message) -> None:
    """Done."""


def _fire(**more: Any) -> BenchRoute:  # noqa: ANN401 - a route's settings
    return BenchRoute("fire", _fine, {"topics": (QUEUE,), **more}, topics=("fire/#",))


def _report(bench: RoutesBench, *routes: Mapping[str, object], pid: int = 7, kind: str = "processor") -> None:
    """Another processor with these routes says that it is there."""
    bench.other.report(ServiceReport(f"{kind} host/{pid}", kind, "host", pid, "1", 0.0, {"routes": list(routes)}))


def _set_aside(bench: RoutesBench, *routes: str) -> None:
    """As a processor did that has ended: one message for each of ``routes``."""
    bench.put(*[b"x"] * len(routes), topic="fire/1")
    claims = bench.other.claim(QUEUE, 9_999, lease=60)
    bench.other.settle([(claim, GiveBack(MINUTES, route)) for claim, route in zip(claims, routes, strict=True)])


def _for_route(bench: RoutesBench, route: str) -> Sequence[str]:
    """What the other processor gets at once."""
    return [claim.message.topic for claim in bench.other.claim(QUEUE, 99, lease=60, route=route)]


def test_what_another_processor_wants_is_set_aside_for_its_route(tmp_path: Path) -> None:
    """It claims that at once. What nobody wants stays for nobody."""
    with RoutesBench(tmp_path, _fire()) as bench:
        _report(bench, REST)
        bench.put(*[b"x"] * 20, topic="water")
        bench.put(b"x", topic="air")
        bench.put(b"x", topic="fire/1")
        bench.turn_until(lambda: bench.stats().done == 1)
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"rest": 20, "": 1})
        assert bench.metric("fmq_unrouted_total") == 1
        assert _for_route(bench, "rest") == ["water"] * 20


def test_a_processor_that_starts_later_gets_what_nobody_wanted(tmp_path: Path) -> None:
    """And what is set aside for its route is released when it has ended, or has not reported for half a minute."""
    with RoutesBench(tmp_path, _fire()) as bench:
        bench.put(*[b"x"] * 20, topic="water")
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"": 20})
        _report(bench, REST)
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"rest": 20})
        bench.other.withdraw("processor host/7")
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"": 20})
        _report(bench, REST)
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"rest": 20})
        bench.clock.advance(36)
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"": 20})


def test_a_route_that_was_renamed_gets_its_messages_at_once(tmp_path: Path) -> None:
    """What waits for a route that nobody has is released at the start, and for nobody too; what a neighbour is about to claim is not."""
    with RoutesBench(tmp_path, _fire()) as bench:
        _report(bench, REST)
        _set_aside(bench, "old", "", "rest", "fire")
        bench.turn_until(lambda: bench.stats().done == 3)
        bench.turn(5)
        assert bench.other.parked(QUEUE) == {"rest": 1}


def test_a_route_that_takes_all_of_a_queue_gets_what_was_set_aside(tmp_path: Path) -> None:
    """For whatever route, since no other one of this process can have it."""
    with RoutesBench(tmp_path, BenchRoute("main", _fine, {"topics": (QUEUE,)})) as bench:
        _set_aside(bench, "old", "", "main")
        bench.turn_until(lambda: bench.stats().done == 3)


def test_a_route_without_topics_gets_what_a_neighbour_sets_aside_for_it(tmp_path: Path) -> None:
    """At once, though this process alone would not have to name its route in a claim."""
    with RoutesBench(tmp_path, BenchRoute("main", _fine, {"topics": (QUEUE,)})) as bench:
        _report(bench, FIRE)
        bench.put(b"x", topic="water")
        bench.turn_until(lambda: bench.stats().done == 1)
        _set_aside(bench, "main", "fire")
        bench.turn_until(lambda: bench.stats().done == 2)
        bench.turn(5)
        assert bench.other.parked(QUEUE) == {"fire": 1}


def test_the_same_routes_in_several_processors_pass_nothing_to_each_other(tmp_path: Path) -> None:
    """A route of the same name is no other route; nor are services of other kinds, and reports that can't be read, processors."""
    with RoutesBench(tmp_path, _fire()) as bench:
        _report(bench, FIRE, pid=1)
        _report(bench, {**FIRE, "topics": ["water"]}, pid=2)
        _report(bench, {"name": "odd"}, pid=3)
        _report(bench, REST, kind="listener")
        bench.put(*[b"x"] * 5, topic="water")
        bench.turn_until(lambda: bench.other.parked(QUEUE) == {"": 5})
        bench.clock.advance(6)
        bench.turn(5)
        assert bench.metric("fmq_unrouted_total") == 5


def test_a_deep_backlog_is_released_in_steps(tmp_path: Path) -> None:
    """A thousand at a time, ten times a second, so that others can write between."""
    with RoutesBench(tmp_path, _fire(batch=1_000)) as bench:
        _set_aside(bench, *["old"] * 2_500)
        bench.turn_until(lambda: bench.stats().done == 1_000)
        bench.turn(20)
        assert bench.other.parked(QUEUE) == {"old": 1_500}
        bench.clock.advance(0.1)
        bench.turn_until(lambda: bench.stats().done == 2_000)
        bench.clock.advance(0.1)
        bench.turn_until(lambda: bench.stats().done == 2_500)


def test_a_queue_that_is_deleted_is_forgotten(tmp_path: Path) -> None:
    """An operator deletes it before its messages are released."""
    with RoutesBench(tmp_path, _fire()) as bench:
        bench.put(b"x", topic="fire/1")
        bench.turn_until(lambda: bench.stats().done == 1)
        bench.other.delete_queue(QUEUE)
        _report(bench, REST)
        bench.clock.advance(6)
        bench.turn(5)
        bench.put(b"x", topic="fire/1")
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.stats().done == 1)


def test_many_queues_are_looked_through_in_a_few_steps(tmp_path: Path) -> None:
    """At the start, since nearly all have nothing set aside. What one of them has is released."""
    with RoutesBench(tmp_path, BenchRoute("fire", _fine, {}, topics=("fire/#",))) as bench:
        _set_aside(bench, "gone")
        for number in range(99):
            bench.other.declare(f"q{number}")
        steps = 0
        while steps == 0 or bench.worker.neighbours.is_releasing:
            bench.turn(1)
            steps += 1
            assert steps < 12
        assert bench.other.parked(QUEUE) == {}
        bench.turn_until(lambda: bench.stats().done == 1)


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 20), (0.003, 1)], ids=["quick", "slow"])
def test_a_step_looks_through_a_few_queues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, most: int
) -> None:
    """However many there are, and however slow the store is: handlers wait for it."""
    with RoutesBench(tmp_path, BenchRoute("fire", _fine, {}, topics=("fire/#",))) as bench:
        asked = list[str]()

        def release(name: str, **_: object) -> int:
            asked.append(name)
            bench.clock.advance(seconds)
            return 0

        monkeypatch.setattr(bench.queue, "release", release)
        for number in range(50):
            bench.worker.neighbours.found(f"q{number}")
        bench.worker.neighbours.step()
        assert len(asked) == len(set(asked)) == most


def test_a_store_that_is_away_is_asked_again(tmp_path: Path) -> None:
    """What is set aside for a route that is gone is released once it is back."""
    with RoutesBench(tmp_path, BenchRoute("fire", _fine, {}, topics=("fire/#",))) as bench:
        bench.put(b"x", topic="fire/1")
        bench.turn_until(lambda: bench.stats().done == 1 and not bench.worker.neighbours.is_releasing)
        _set_aside(bench, "gone")
        bench.worker.neighbours.found(QUEUE)  # as if it were found only now
        with bench.locked():
            bench.worker.neighbours.step()

        def released() -> bool:
            bench.clock.advance(0.1)  # long before its delay is over
            return not bench.other.parked(QUEUE)

        bench.turn_until(released)
