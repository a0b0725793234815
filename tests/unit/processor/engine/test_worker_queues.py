"""Which queue is served when, and in which order its messages are handled."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, batch_handler
from fmq.errors import WrongOrder
from fmq.message import Claim
from support.workbench import QUEUE, Workbench, messages_of


def test_every_queue_is_served_fairly(tmp_path: Path) -> None:
    """A queue with a long backlog does not keep the others waiting."""
    seen: list[str] = []
    with Workbench(tmp_path, lambda message: seen.append(message.queue), batch=10) as bench:
        bench.put(*[b"x"] * 500, queue="busy")
        bench.put(*[b"x"] * 25, queue="calm")
        bench.turn_until(lambda: seen.count("calm") == 25)
        assert seen.count("busy") <= 60
        bench.turn_until(lambda: bench.states("busy") == (0, 0, 500, 0))


def test_one_batch_is_filled_from_several_queues(tmp_path: Path) -> None:
    """Queues with a message each don't cost a round each."""
    with Workbench(tmp_path, lambda _: None, batch=10) as bench:
        for number in range(5):
            bench.put(b"x", queue=f"q{number}")
        bench.worker.turn()
        assert bench.metric("fmq_in_progress") == bench.worker.holds == 5


@pytest.mark.parametrize("count", [1, 5, 8, 30])
def test_batches_for_all_concurrent_calls_at_once(tmp_path: Path, count: int) -> None:
    """No call waits for the end of another one, nor for time to pass; then the worker waits."""
    go, began = threading.Event(), threading.Semaphore(0)

    @batch_handler
    def handle(_messages: Sequence[Message]) -> None:
        began.release()
        go.wait(10)

    with Workbench(tmp_path, handle, batch=2, concurrency=4) as bench:
        bench.put(*[b"x"] * count)
        steps = 0
        while steps == 0 or bench.lane.tick == 0:
            bench.lane.step()
            steps += 1
            assert steps < 10
        assert bench.worker.holds == min(count, 8)
        for _ in range(min((count + 1) // 2, 4)):
            assert began.acquire(timeout=10)
        go.set()
        bench.turn_until(lambda: bench.states() == (0, 0, count, 0))


@pytest.mark.parametrize("is_batch", [True, False], ids=["batches", "single messages"])
def test_what_comes_while_the_only_call_runs(tmp_path: Path, *, is_batch: bool) -> None:
    """A batch handler leaves it for a larger batch, or for other processors. A plain one has the next message at hand."""
    go, began = threading.Event(), threading.Event()

    def handle(_: Any) -> None:  # noqa: ANN401 - a message, or many
        began.set()
        go.wait(10)

    with Workbench(tmp_path, batch_handler(handle) if is_batch else handle, batch=10) as bench:
        bench.put(b"x")
        bench.turn_until(began.is_set)
        bench.put(b"x")
        bench.turn(5)
        assert bench.worker.holds == (1 if is_batch else 2)
        go.set()
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))


def test_an_idle_worker_does_not_look_for_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after a change of the store, or once its time has come."""
    with Workbench(tmp_path, lambda _: None, sleep=3600) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().done == 1)
        bench.turn(5)
        asked = list[str]()
        claim = bench.queue.claim

        def noting(name: str, limit: int, **more: Any) -> Sequence[Claim]:  # noqa: ANN401 - as they came
            asked.append(name)
            return claim(name, limit, **more)

        monkeypatch.setattr(bench.queue, "claim", noting)
        bench.turn(5)
        assert asked == []
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().done == 2)
        assert asked


@pytest.mark.parametrize(
    "settings", [{"batch": 2}, {"batch": 6, "concurrency": 2}], ids=["a full batch", "a queue of calls"]
)
def test_a_worker_without_room_is_not_woken_by_new_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """The alarm goes off until somebody claims, so it would take a worker's time for as long as a call runs."""
    go, began = threading.Event(), threading.Event()

    def handle(_message: Message) -> None:
        began.set()
        go.wait(10)

    with Workbench(tmp_path, handle, **settings) as bench:
        bell, heard = bench.runner.bell, list[bool]()
        wait = bell.wait

        def noting(seconds: float, *, alarm: bool = True) -> None:
            heard.append(alarm)
            wait(seconds, alarm=alarm)

        monkeypatch.setattr(bell, "wait", noting)
        bench.put(*[b"x"] * 10)
        bench.turn_until(began.is_set)
        heard.clear()
        bench.turn(3)
        assert not any(heard)
        go.set()
        bench.turn_until(lambda: bench.states() == (0, 0, 10, 0))
        bench.turn_until(lambda: heard[-1])


def test_of_many_queues_only_those_with_messages_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message costs the same with 40 queues as with one; new queues are found at once."""
    asked: list[str] = []
    with Workbench(tmp_path, lambda _: None, sleep=3600) as bench:
        for number in range(40):
            bench.other.declare(f"q{number}")
        bench.turn()
        claim = bench.queue.claim

        def noting(name: str, limit: int, **more: Any) -> Sequence[Claim]:  # noqa: ANN401 - as they came
            asked.append(name)
            return claim(name, limit, **more)

        monkeypatch.setattr(bench.queue, "claim", noting)
        bench.put(b"x", queue="q7")
        bench.turn_until(lambda: bench.stats("q7").done)
        bench.put(b"x", queue="new")
        bench.turn_until(lambda: bench.stats("new").done)
        assert set(asked) == {"q7", "new"}


def test_only_the_queues_asked_for(tmp_path: Path) -> None:
    """Others are left alone."""
    with Workbench(tmp_path, lambda _: None, topics=("a", "b")) as bench:
        for name in ("a", "b", "c"):
            bench.put(b"x", queue=name)
        bench.turn_until(lambda: bench.stats("a").done and bench.stats("b").done)
        bench.turn()
        assert bench.stats("c").pending == 1


def test_a_queue_made_while_running_is_noticed(tmp_path: Path) -> None:
    """At once, not after the sleep; the clock stands still here."""
    with Workbench(tmp_path, lambda _: None, sleep=3600) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().done)
        bench.turn()
        bench.put(b"x", queue="new")
        bench.turn_until(lambda: bench.stats("new").done)


def test_a_queue_that_is_not_there_yet_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Told once: the processor may start before the listener."""
    caplog.set_level(logging.INFO)
    with Workbench(tmp_path, lambda _: None, topics=(QUEUE,)) as bench:
        for _ in range(5):
            bench.turn()
            bench.clock.advance(5)
        assert len(messages_of(caplog.records, "Waiting for the queue dstdb")) == 1
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().done)


def test_batches_of_one_queue_follow_each_other_at_once(tmp_path: Path) -> None:
    """Also where several run at once and there is room for more than one; the clock stands still here."""
    sizes: list[int] = []

    @batch_handler
    def handle(messages: list[Message]) -> None:
        sizes.append(len(messages))

    with Workbench(tmp_path, handle, batch=10, concurrency=4, sleep=3600) as bench:
        bench.put(*[b"x"] * 500)
        bench.turn_until(lambda: bench.stats().done == 500)
    assert sizes == [10] * 50


def test_a_new_message_wakes_an_idle_worker(tmp_path: Path) -> None:
    """Long before the sleep has passed; the clock stands still here."""
    with Workbench(tmp_path, lambda _: None, sleep=3600) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().done == 1)
        bench.turn()
        bench.put(b"y")
        bench.turn_until(lambda: bench.stats().done == 2)


def test_a_worker_holds_no_more_than_a_batch(tmp_path: Path) -> None:
    """Or than the calls that run at once, if those are more."""
    for batch, concurrency, most in ((5, 1, 5), (2, 6, 6)):
        go_on = threading.Event()
        folder = tmp_path / str(batch)
        folder.mkdir()
        with Workbench(folder, lambda _, go_on=go_on: go_on.wait(20), batch=batch, concurrency=concurrency) as bench:
            bench.put(*[b"x"] * 20)
            bench.turn_until(bench.reached("fmq_in_progress", most))
            bench.turn(10)
            assert bench.worker.holds == bench.stats().claimed == most
            go_on.set()
            bench.turn_until(bench.reached("fmq_handle_seconds_count", 20))


def test_ordered_topics_wait_behind_their_retries(tmp_path: Path) -> None:
    """Other topics go on; each topic's messages end in order, whatever fails."""
    ended: list[bytes] = []

    def handle(message: Message) -> bool:
        if message.payload in (b"a1", b"b2") and message.retry_count < 2:
            return False
        ended.append(message.payload)
        return True

    with Workbench(tmp_path, handle, ordered=True, concurrency=4, backoff_initial=5, backoff_maximum=5) as bench:
        for number in (1, 2, 3):
            for topic in ("a", "b", "c"):
                bench.put(b"%s%d" % (topic.encode(), number), topic=topic)
        bench.turn_until(lambda: len(ended) == 4)
        bench.turn()
        assert sorted(ended) == [b"b1", b"c1", b"c2", b"c3"]
        for _ in range(4):
            bench.clock.advance(5)
            bench.turn(8)
        bench.turn_until(lambda: bench.states() == (0, 0, 9, 0))
    for name in (b"a", b"b", b"c"):
        assert [one for one in ended if one.startswith(name)] == [name + b"%d" % number for number in (1, 2, 3)]


def test_ordered_goes_on_at_once(tmp_path: Path) -> None:
    """One topic's backlog is handled without a sleep between its messages; the clock stands still here."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload), ordered=True, sleep=3600) as bench:
        bench.put(*(b"%03d" % number for number in range(50)))
        bench.turn_until(lambda: bench.stats().done == 50)
    assert seen == sorted(seen)


def test_what_was_too_large_comes_at_once(tmp_path: Path) -> None:
    """A claim that ends early at the limit in bytes is followed by the next one; the clock stands still here."""
    with Workbench(tmp_path, lambda _: None, batch=10, batch_bytes=150, sleep=3600) as bench:
        bench.put(*[b"x" * 100] * 5)
        bench.turn_until(lambda: bench.stats().done == 5)


def test_the_bytes_in_hand_are_bounded(tmp_path: Path) -> None:
    """However many calls may run, nothing more is claimed once the payloads held have reached the limit."""
    go_on = threading.Event()
    with Workbench(tmp_path, lambda _: go_on.wait(20), batch=10, concurrency=10, batch_bytes=150) as bench:
        bench.put(*[b"x" * 40] * 4, b"x" * 500, queue="a")
        bench.put(*[b"x" * 40] * 4, queue="b")
        bench.turn_until(lambda: bench.worker.holds >= 3)
        bench.turn(5)
        assert bench.worker.holds == 3  # 120 bytes with their topics, then the one with which the limit is reached
        go_on.set()
        bench.turn_until(lambda: bench.stats("a").done == 5 and bench.stats("b").done == 4)


def test_a_queue_of_the_other_order(tmp_path: Path) -> None:
    """The processor ends with what to do, and what it holds of other queues is settled or given back first."""
    with Workbench(tmp_path, lambda _: None, concurrency=1) as bench:
        bench.put(b"1", queue="plain")
        bench.put(b"2")
        assert len(bench.other.claim(QUEUE, 1, lease=0.001, ordered=True)) == 1
        bench.clock.advance(1)
        with pytest.raises(WrongOrder, match="FMQ_ORDERED=true"):
            bench.worker.run(bench.shutdown)
        assert bench.other.stats("plain").claimed == 0
        assert bench.stats("plain").pending + bench.stats("plain").done == 1
        assert bench.states()[1] == 1  # the other processor's
