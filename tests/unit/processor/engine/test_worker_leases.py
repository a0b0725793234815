"""Claims over time: extended while held, given back at the end, alone if they may kill, harmless when stale."""

import logging
import threading
from pathlib import Path

import pytest

from fmq import Message
from fmq.outcome import Cause
from fmq.service.metrics import OUTCOMES
from fmq_processor.routes import MAIN
from support.counting import counted, counters
from support.workbench import QUEUE, Workbench, messages_of

LEASE = 60


class Gatekeeper:
    """A handler that notes what has started and waits to be let on."""

    def __init__(self) -> None:
        self.started: list[bytes] = []
        self.go_on = threading.Event()

    def __call__(self, message: Message) -> None:
        self.started.append(message.payload)
        self.go_on.wait(20)


def test_leases_are_extended_while_a_handler_runs(tmp_path: Path) -> None:
    """Nobody else gets the message, however long it takes; nor those that wait behind it."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, lease_seconds=LEASE, handler_timeout=0) as bench:
        bench.put(b"slow", b"waiting")
        bench.turn_until(lambda: handle.started == [b"slow"])
        for _ in range(9):
            bench.clock.advance(LEASE * 0.4)
            bench.turn(1)
            assert bench.borrow(10) == []
        handle.go_on.set()
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))
        assert bench.metric("fmq_stale_settlements_total") == 0
        assert handle.started == [b"slow", b"waiting"]


def test_a_settlement_after_the_lease_changes_nothing_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message belongs to the worker that has claimed it since."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, lease_seconds=LEASE, handler_timeout=0) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: handle.started == [b"x"])
        bench.clock.advance(LEASE + 1)  # as if this process had been frozen
        (theirs,) = bench.borrow()
        handle.go_on.set()
        bench.turn_until(lambda: bench.metric("fmq_stale_settlements_total") == 1)
        assert bench.states() == (0, 1, 0, 0)
        assert theirs.attempt == 2
        assert bench.metric("fmq_processed_total", outcome="done") == 0
        assert bench.metric("fmq_in_progress") == 0
        assert len(messages_of(caplog.records, "settled too late")) == 1


def test_what_others_have_claimed_meanwhile_is_not_started(tmp_path: Path) -> None:
    """A message whose lease ran out while it waited for its turn is left to its new holder."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, lease_seconds=LEASE, handler_timeout=0) as bench:
        bench.put(b"first", b"second")
        bench.turn_until(lambda: handle.started == [b"first"])
        bench.clock.advance(LEASE + 1)
        theirs = [*bench.borrow(), *bench.borrow()]
        assert [claim.message.payload for claim in theirs] == [b"first", b"second"]
        bench.turn()
        handle.go_on.set()
        bench.turn_until(lambda: bench.worker.holds == 0)
        assert handle.started == [b"first"]
        assert bench.states() == (0, 2, 0, 0)
        assert bench.metric("fmq_in_progress") == 0


def test_at_the_shutdown_what_has_not_started_goes_back_as_if_never_claimed(tmp_path: Path) -> None:
    """And what runs is finished and settled."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, batch=10) as bench:
        bench.put(*(b"%d" % number for number in range(10)))
        bench.turn_until(lambda: handle.started == [b"0"])
        bench.shutdown.request()
        threading.Timer(0.1, handle.go_on.set).start()
        assert bench.worker.run(bench.shutdown) is None
        assert bench.states() == (9, 0, 1, 0)
        assert handle.started == [b"0"]
        claims = bench.borrow(10)
        assert [claim.message.payload for claim in claims] == [b"%d" % number for number in range(1, 10)]
        assert {claim.message.retry_count for claim in claims} == {0}
        assert counted(bench.path) == counters(bench.path)


def test_what_runs_beyond_the_grace_period_is_retried_at_once(tmp_path: Path) -> None:
    """With a reason, by the next worker."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, grace_seconds=0, max_retries=1) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: handle.started == [b"x"])
        bench.shutdown.request()
        assert bench.worker.run(bench.shutdown) is None
        (claim,) = bench.borrow()
        assert claim.attempt == 2
        handle.go_on.set()


def test_a_suspect_runs_with_nothing_else_in_hand(tmp_path: Path) -> None:
    """A message that may have killed its worker must not take others with it."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, batch=10, lease_seconds=LEASE, handler_timeout=0) as bench:
        bench.put(b"killer")
        bench.borrow(lease=1)  # by a worker that dies
        bench.clock.advance(2)
        bench.put(b"a", b"b")
        bench.turn_until(lambda: handle.started == [b"killer"])
        bench.turn()
        assert bench.worker.holds == 1
        assert bench.states() == (2, 1, 0, 0)
        handle.go_on.set()
        bench.turn_until(lambda: bench.states() == (0, 0, 3, 0))
        assert handle.started == [b"killer", b"a", b"b"]


def test_a_suspect_waits_until_what_runs_is_settled(tmp_path: Path) -> None:
    """Also in a worker with room for more; nothing more is claimed meanwhile, and its lease is kept."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, concurrency=4, lease_seconds=LEASE, handler_timeout=0) as bench:
        bench.put(b"killer")
        bench.borrow(lease=5)
        bench.put(b"a", b"b")
        bench.turn_until(lambda: sorted(handle.started) == [b"a", b"b"])
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.worker.holds == 3)
        bench.put(b"c")
        for _ in range(4):
            bench.clock.advance(LEASE * 0.4)
            bench.turn()
        assert sorted(handle.started) == [b"a", b"b"]
        assert bench.states() == (1, 3, 0, 0)
        handle.go_on.set()
        bench.turn_until(lambda: bench.states() == (0, 0, 4, 0))
        assert handle.started[2:] == [b"killer", b"c"]


def test_a_waiting_suspect_is_given_back_at_the_shutdown(tmp_path: Path) -> None:
    """Like everything else that has not started; the attempts that it has used up stay counted."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, concurrency=4, lease_seconds=LEASE, grace_seconds=0) as bench:
        bench.put(b"killer")
        bench.borrow(lease=5)
        bench.put(b"a")
        bench.turn_until(lambda: handle.started == [b"a"])
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.worker.holds == 2)
        bench.shutdown.request()
        bench.worker.run(bench.shutdown)
        assert bench.states() == (2, 0, 0, 0)
        assert [(claim.attempt, claim.suspect) for claim in [*bench.borrow(2), *bench.borrow(2)]] == [
            (2, True),
            (2, False),
        ]
        assert bench.metric("fmq_retries_total", reason="stopped") == 1
        handle.go_on.set()


def test_a_message_whose_every_attempt_killed_its_worker_is_dead_unhandled(tmp_path: Path) -> None:
    """Instead of killing workers forever."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, max_retries=2) as bench:
        bench.put(b"killer")
        for _ in range(3):
            assert bench.borrow(lease=1)
            bench.clock.advance(2)
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 1))
        assert handle.started == []
        assert bench.metric("fmq_dead_lettered_total", reason="worker_died") == 1
        assert bench.dead()[0].reason == "its worker died or hung in each of 3 attempts"
        assert bench.metric("fmq_in_progress") == 0


def test_a_store_that_fails_is_told_once_and_work_goes_on_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Results wait in memory, no message is claimed meanwhile, none is handled twice."""
    caplog.set_level(logging.INFO)
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload), batch=5) as bench:
        bench.put(*(b"%d" % number for number in range(7)))
        bench.turn(1)  # five are claimed
        with bench.locked():
            for _ in range(5):
                bench.turn()
                bench.clock.advance(6)
            assert bench.registry.get_sample_value("fmq_store_writable") == 0
            assert len(seen) == 5
            assert bench.worker.holds == 5
        bench.clock.advance(6)
        bench.turn_until(lambda: bench.states() == (0, 0, 7, 0))
        assert seen == [b"%d" % number for number in range(7)]
        assert len(messages_of(caplog.records, "The store is unavailable")) == 1
        assert len(messages_of(caplog.records, "The store is back")) == 1
        assert (bench.registry.get_sample_value("fmq_store_failures_total") or 0) >= 2
        assert bench.registry.get_sample_value("fmq_store_writable") == 1


def test_results_that_cannot_be_settled_before_the_end_are_told(tmp_path: Path) -> None:
    """The exit code is that of a fault; the messages come again after their lease."""
    handle = Gatekeeper()
    with Workbench(tmp_path, handle, grace_seconds=0) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: handle.started)
        with bench.locked():
            bench.shutdown.request()
            assert "1 messages could not be settled" in (bench.worker.run(bench.shutdown) or "")
        handle.go_on.set()


def test_the_loop_beats_its_heart_even_with_a_store_that_fails(tmp_path: Path) -> None:
    """A restart would not bring the disk back."""
    with Workbench(tmp_path, lambda _: None) as bench:
        bench.put(b"x")
        with bench.locked():
            bench.clock.advance(100)
            bench.turn()
            assert bench.heartbeat.age == 0


def test_the_metrics_start_at_zero(tmp_path: Path) -> None:
    """A rate needs a beginning."""
    with Workbench(tmp_path, lambda _: None) as bench:
        bench.put()
        bench.turn()
        for outcome in OUTCOMES:
            for name, labels in (
                ("fmq_processed_total", {"queue": QUEUE}),
                ("fmq_route_processed_total", {"route": MAIN}),
            ):
                assert bench.registry.get_sample_value(name, {**labels, "outcome": outcome}) == 0.0
        for name in ("fmq_stale_settlements_total", "fmq_timeouts_total", "fmq_handle_seconds_count"):
            assert bench.registry.get_sample_value(name, {"route": MAIN}) == 0.0
        for name in ("fmq_retries_total", "fmq_dead_lettered_total"):
            for cause in Cause:
                assert bench.registry.get_sample_value(name, {"route": MAIN, "reason": cause}) == 0.0
