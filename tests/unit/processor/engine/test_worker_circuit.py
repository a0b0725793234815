"""A handler whose target goes down and comes back: on a real queue, with a clock moved by hand."""

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, Reject, Retry, Unavailable, batch_handler
from support.counting import counted, counters, query
from support.workbench import Workbench, messages_of

MINUTE = 60.0


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


class Target:
    """What handlers call: down until the test says otherwise. Notes who asked, and who was served."""

    def __init__(self, *, down: bool = True, error: Callable[[], Exception] = Unavailable) -> None:
        self.down = down
        self.error = error
        self.asked: list[int] = []
        self.served: list[int] = []

    def __call__(self, message: Message) -> None:
        self.asked.append(message.id)
        if self.down:
            raise self.error()
        self.served.append(message.id)


def _forms(target: Target) -> dict[str, Callable[..., Any]]:
    async def awaited(message: Message) -> None:
        target(message)

    @batch_handler
    def batch(messages: Sequence[Message]) -> None:
        for message in messages:
            target(message)

    return {"plain": target, "async": awaited, "batch": batch}


def _unavailable() -> Exception:
    return Unavailable(reason="always")


def _wrong() -> Exception:
    return ValueError("always")


def _attempts_counted(bench: Workbench) -> set[Any]:
    return {row[0] for row in query(bench.path, "SELECT retry_count FROM msg_dstdb")}


def _let_pass(bench: Workbench, seconds: float, *, step: float = 1.0) -> None:
    """Let time pass, with the worker at work in it."""
    for _ in range(round(seconds / step)):
        bench.clock.advance(step)
        bench.turn(4)


@pytest.mark.parametrize("form", ["plain", "async", "batch"])
def test_an_outage_of_ten_minutes(tmp_path: Path, form: str) -> None:
    """3,000 messages: none dies, none has used up a retry, the target is asked a few times only; then all are done."""
    target = Target()
    with Workbench(tmp_path, _forms(target)[form], batch=100, concurrency=4) as bench:
        bench.put(*[b"x"] * 3_000)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        bench.turn_until(lambda: bench.worker.holds == 0)
        at_first = len(target.asked)
        assert at_first <= 2 * 400  # what was in hand
        _let_pass(bench, 10 * MINUTE)
        assert bench.states() == (3_000, 0, 0, 0)
        assert _attempts_counted(bench) == {0}
        assert 10 <= len(target.asked) - at_first <= 20
        assert bench.metric("fmq_circuit_probes_total") == len(target.asked) - at_first
        target.down = False
        _let_pass(bench, MINUTE)
        bench.turn_until(lambda: bench.states() == (0, 0, 3_000, 0))
        assert sorted(target.served) == list(range(1, 3_001))
        assert _attempts_counted(bench) == {0}
        assert bench.metric("fmq_circuit_open") == 0
        assert bench.metric("fmq_circuit_openings_total") == 1
        assert counted(bench.path) == counters(bench.path)


def test_an_outage_that_the_handler_does_not_call_one(tmp_path: Path) -> None:
    """Any exception, five in a row: what it costs is one retry each of the four before the fifth."""
    target = Target(error=lambda: ConnectionError("refused"))
    with Workbench(tmp_path, target, batch=100) as bench:
        bench.put(*[b"x"] * 3_000)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        _let_pass(bench, 10 * MINUTE)
        assert bench.states() == (3_000, 0, 0, 0)
        rows = query(bench.path, "SELECT retry_count, count(*) FROM msg_dstdb GROUP BY 1")
        assert dict(rows) == {0: 2_996, 1: 4}
        target.down = False
        _let_pass(bench, MINUTE)
        bench.turn_until(lambda: bench.states() == (0, 0, 3_000, 0))


def test_without_it_an_outage_buries_messages(tmp_path: Path) -> None:
    """The control: FMQ_CIRCUIT_FAILURES=0."""
    with Workbench(tmp_path, Target(), batch=100, circuit_failures=0) as bench:
        bench.put(*[b"x"] * 100)
        _let_pass(bench, MINUTE)
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 100))


def test_what_was_in_hand_goes_back_as_if_never_claimed(tmp_path: Path) -> None:
    """While one call still runs, the rest of the batch is neither tried nor delayed, and stands where it stood."""
    go_on = threading.Event()

    def handle(message: Message) -> None:
        if message.id > 2:
            go_on.wait(20)
        raise Unavailable

    with Workbench(tmp_path, handle, batch=100) as bench:
        bench.put(*[b"x"] * 100)
        bench.turn_until(lambda: bench.states() == (99, 1, 0, 0))
        assert bench.metric("fmq_circuit_open") == bench.metric("fmq_in_progress") == 1
        claims = bench.borrow(100)
        assert [claim.message.id for claim in claims] == list(range(4, 101))
        assert {claim.message.retry_count for claim in claims} == {0}
        go_on.set()


def test_each_change_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However many messages fail and probes follow."""
    caplog.set_level(logging.INFO)
    target = Target(error=lambda: Unavailable(reason="HTTP 503"))
    with Workbench(tmp_path, target, batch=100) as bench:
        bench.put(*[b"x"] * 300)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        _let_pass(bench, 5 * MINUTE)
        target.down = False
        _let_pass(bench, MINUTE)
        bench.turn_until(lambda: bench.stats().done == 300)
    (opened,) = messages_of(caplog.records, "seems to be down")
    assert (opened.levelno, "2 failures in a row, the last: HTTP 503" in opened.getMessage()) == (logging.ERROR, True)
    (closed,) = messages_of(caplog.records, "is back after")
    assert closed.levelno == logging.INFO
    assert not messages_of(caplog.records, "moved to dead letters")


@pytest.mark.parametrize("error", [_unavailable, _wrong])
def test_a_message_that_fails_alone_ends_dead_and_opens_nothing(tmp_path: Path, error: Callable[[], Exception]) -> None:
    """While others succeed; whatever it says of the target."""

    def handle(message: Message) -> None:
        if message.payload == b"poison":
            raise error()

    with Workbench(tmp_path, handle, max_retries=3, backoff_maximum=2) as bench:
        bench.put(b"poison", *[b"x"] * 20)
        for _ in range(30):
            bench.put(b"x")
            _let_pass(bench, 2)
        bench.turn_until(lambda: bench.states() == (0, 0, 50, 1))
        assert bench.metric("fmq_circuit_openings_total") == 0
        assert bench.dead()[0].message.payload == b"poison"


@pytest.mark.parametrize("error", [_unavailable, _wrong])
def test_a_message_that_is_alone_in_its_queue_ends_dead_if_it_is_the_only_one_that_fails(
    tmp_path: Path, error: Callable[[], Exception]
) -> None:
    """It looks like an outage, unless it says otherwise itself: then it waits for others to prove it wrong."""
    target = Target(error=error)
    with Workbench(tmp_path, target, max_retries=9, backoff_maximum=2) as bench:
        bench.put(b"x")
        _let_pass(bench, 5 * MINUTE)
        if error is _unavailable:
            assert (bench.states(), _attempts_counted(bench)) == ((1, 0, 0, 0), {0})
            assert bench.metric("fmq_circuit_open") == 1
        else:
            assert bench.states() == (0, 0, 0, 1)
            assert bench.metric("fmq_circuit_openings_total") == 0


@pytest.mark.parametrize("error", [_unavailable, _wrong])
@pytest.mark.parametrize("ordered", [False, True])
def test_poison_does_not_keep_the_circuit_open(
    tmp_path: Path, error: Callable[[], Exception], *, ordered: bool
) -> None:
    """Messages that always fail stand first in line when the target is back: another one is tried, and it closes."""
    target = Target(error=error)

    def handle(message: Message) -> None:
        if message.payload == b"poison":
            target.asked.append(message.id)
            raise error()
        target(message)

    with Workbench(tmp_path, handle, batch=10, backoff_maximum=2, ordered=ordered) as bench:
        for number in range(3):
            bench.put(b"poison", topic=f"poison/{number}")
        for number in range(50):
            bench.put(b"x", topic=f"good/{number}")
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        _let_pass(bench, 5 * MINUTE)
        assert bench.states()[2:] == (0, 0)
        target.down = False
        _let_pass(bench, 10 * MINUTE)
        for _ in range(40):  # others go on coming, and prove the poison wrong
            bench.put(b"x", topic="good/later")
            _let_pass(bench, 20, step=2)
        bench.turn_until(lambda: bench.states() == (0, 0, 90, 3))
        assert bench.metric("fmq_circuit_open") == 0
        assert {letter.message.payload for letter in bench.dead()} == {b"poison"}


def test_probes_go_round_the_queues(tmp_path: Path) -> None:
    """One handler serves them all: a queue of nothing but poison does not keep the others waiting forever."""
    target = Target()

    def handle(message: Message) -> None:
        if message.queue == "poison":
            raise Unavailable
        target(message)

    with Workbench(tmp_path, handle) as bench:
        bench.put(*[b"x"] * 500, queue="poison")
        bench.put(*[b"x"] * 50, queue="good")
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        target.down = False
        _let_pass(bench, 10 * MINUTE)
        bench.turn_until(lambda: bench.stats("good").done == 50)
        assert bench.stats("poison").dead == 0


def test_a_probe_that_tells_nothing_is_followed_by_another_at_once(tmp_path: Path) -> None:
    """One that is rejected, that can't be decoded, that the filter skips: the clock stands still over all of them."""
    target = Target()

    def handle(message: Message) -> None:
        if message.body.get("bad"):
            raise Reject("bad")
        target(message)

    with Workbench(tmp_path, handle, batch=2, decode="json", filter="!(body.skip)") as bench:
        bench.put(*[b"{}"] * 2)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        bench.turn_until(lambda: bench.states() == (2, 0, 0, 0))  # both are due when the first probe is
        bench.put(*[b"{"] * 5, *[b'{"bad": 1}'] * 5, *[b'{"skip": 1}'] * 5)
        bench.clock.advance(0.4)
        bench.put(b"{}")
        bench.turn()
        assert bench.stats().dead == bench.stats().done == 0
        target.down = False
        bench.clock.advance(0.7)
        bench.turn_until(lambda: bench.states() == (0, 0, 8, 10))


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    """The target asks for five minutes: nobody asks it before."""
    target = Target(error=lambda: Unavailable(after=5 * MINUTE))
    with Workbench(tmp_path, target, batch=10) as bench:
        bench.put(*[b"x"] * 30)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        bench.turn_until(lambda: bench.worker.holds == 0)
        before = len(target.asked)
        target.down = False
        _let_pass(bench, 5 * MINUTE - 2)
        assert len(target.asked) == before
        _let_pass(bench, 4)
        bench.turn_until(lambda: bench.states() == (0, 0, 30, 0))


@pytest.mark.parametrize("after", ["soon", float("nan"), float("inf"), -5])
def test_an_after_that_is_none_is_no_outage_of_the_service(tmp_path: Path, after: float) -> None:
    """The handler's mistake: the circuit works with its own delays."""
    target = Target(error=lambda: Unavailable(after=after))
    with Workbench(tmp_path, target, batch=10) as bench:
        bench.put(*[b"x"] * 30)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        target.down = False
        _let_pass(bench, 10)
        bench.turn_until(lambda: bench.states() == (0, 0, 30, 0))


def test_a_plain_retry_is_a_failure_like_others(tmp_path: Path) -> None:
    """Five in a row, such as HTTP 500 from everything."""
    target = Target(error=lambda: Retry(after=1))
    with Workbench(tmp_path, target, batch=10) as bench:
        bench.put(*[b"x"] * 30)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        assert len(target.asked) <= 10


def test_timeouts_open_it_too(tmp_path: Path) -> None:
    """A target that does not answer."""

    async def handle(_: Message) -> None:
        await asyncio.Event().wait()

    with Workbench(tmp_path, handle, batch=10, handler_timeout=30) as bench:
        bench.put(*[b"x"] * 10)
        bench.turn_until(lambda: len(bench.runner.running()) == 10)
        bench.turn()
        bench.clock.advance(31)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        bench.turn_until(lambda: bench.states() == (10, 0, 0, 0))


def test_the_shutdown_does_not_wait_for_the_target(tmp_path: Path) -> None:
    """With an open circuit nothing is held."""
    with Workbench(tmp_path, Target(), batch=10) as bench:
        bench.put(*[b"x"] * 30)
        bench.turn_until(bench.reached("fmq_circuit_open", 1))
        bench.shutdown.request()
        assert bench.worker.run(bench.shutdown) is None
        assert bench.states() == (30, 0, 0, 0)
        assert _attempts_counted(bench) == {0}


def test_outages_and_traffic_at_random(tmp_path: Path) -> None:
    """The target goes and comes for an hour while messages arrive: each is served once, none dies, none is counted."""
    rng = random.Random(20261124)
    target = Target(down=False)
    total = 0
    with Workbench(tmp_path, target, batch=20, concurrency=2) as bench:
        for _ in range(120):
            count = rng.randrange(20)
            bench.put(*[b"x"] * count)
            total += count
            target.down = rng.random() < 0.5
            _let_pass(bench, 30, step=3.0)
        target.down = False
        _let_pass(bench, 2 * MINUTE)
        bench.turn_until(lambda: bench.states() == (0, 0, total, 0))
    assert Counter(target.served) == Counter(range(1, total + 1))
    assert _attempts_counted(bench) == {0}
