"""A worker with a rate limit: on a real store, with a clock moved by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fmq import Message, Retry, batch_handler
from support.workbench import QUEUE, BenchRoute, RoutesBench, Workbench


@pytest.fixture(autouse=True)
def _no_idle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand: a worker with nothing in hand need not wait for anything."""
    monkeypatch.setattr("fmq_processor.engine.worker._IDLE_TICK", 0.0)


def _let_pass(bench: Workbench, seconds: float, step: float = 0.25) -> None:
    for _ in range(round(seconds / step)):
        bench.turn_until(lambda: not bench.worker.holds)
        bench.turn()
        bench.turn_until(lambda: not bench.worker.holds)
        bench.clock.advance(step)


def test_messages_wait_as_pending(tmp_path: Path) -> None:
    """And are handled at the rate."""
    with Workbench(tmp_path, lambda _: None, rate_limit="2/s") as bench:
        bench.put(*[b"x"] * 100)
        _let_pass(bench, 20)
        assert bench.stats().done == pytest.approx(40, abs=2)
        assert bench.stats().claimed == 0
        assert bench.metric("fmq_rate_limited_seconds_total") == pytest.approx(20, rel=0.2)


def test_each_attempt_counts(tmp_path: Path) -> None:
    """A retry is a call too."""
    calls: list[int] = []

    def handle(message: Message) -> None:
        calls.append(message.id)
        raise Retry(after=0.1)

    with Workbench(tmp_path, handle, rate_limit="2/s", circuit_failures=0, max_retries=1000) as bench:
        bench.put(*[b"x"] * 3)
        _let_pass(bench, 20)
        assert len(calls) == pytest.approx(40, abs=2)


def test_a_batch_counts_each_of_its_messages(tmp_path: Path) -> None:
    """However large it may be."""
    sizes: list[int] = []

    @batch_handler
    def handle(messages: Sequence[Message]) -> None:
        sizes.append(len(messages))

    with Workbench(tmp_path, handle, rate_limit="8/s", batch=100) as bench:
        bench.put(*[b"x"] * 500)
        _let_pass(bench, 20)
        assert sum(sizes) == pytest.approx(160, abs=8)
        assert max(sizes) <= 8


def test_what_does_not_reach_the_handler_does_not_count(tmp_path: Path) -> None:
    """The filter lets few messages through: the others use no permits, though they wait behind those that do."""
    seen: list[bytes] = []
    settings = {"rate_limit": "1/min", "decode": "json", "filter": "body == `1`"}
    with Workbench(tmp_path, lambda message: seen.append(message.payload), **settings) as bench:
        bench.put(*[b"0"] * 200, b"1", *[b"0"] * 200, b"1")
        bench.turn_until(lambda: bench.stats().done == 201)
        _let_pass(bench, 30)
        assert seen == [b"1"]
        _let_pass(bench, 40)
        bench.turn_until(lambda: bench.stats().done == 402)
        assert seen == [b"1", b"1"]


def test_an_end_gives_permits_back(tmp_path: Path) -> None:
    """A processor that stops with messages that have not started does not use up the rate of others."""
    with Workbench(tmp_path, lambda _: None, rate_limit="1/h", decode="json", filter="body == `1`") as bench:
        bench.put(b"0")
        bench.turn_until(lambda: bench.stats().done == 1)
        bench.worker.drain()
        note = next(iter(bench.other.notes("rate: ").values()))
        assert float(note) <= bench.other.now() - 3600 + 0.1


@pytest.mark.parametrize("limited_first", [True, False])
def test_routes_that_share_a_queue_have_their_own_rates(tmp_path: Path, *, limited_first: bool) -> None:
    """A route without a limit is not held up, and what it claims for the other one waits for that one's rate."""
    slow: list[float] = []
    fast: list[float] = []
    limited = BenchRoute(
        "limited",
        lambda _: slow.append(bench.clock.steady()),
        {"topics": (QUEUE,), "rate_limit": "4/s"},
        topics=("a/#",),
    )
    free = BenchRoute("free", lambda _: fast.append(bench.clock.steady()), {"topics": (QUEUE,)}, topics=("b/#",))
    with RoutesBench(tmp_path, *((limited, free) if limited_first else (free, limited))) as bench:
        for _ in range(15):
            bench.put(*[b"x"] * 10, topic="a/1")
            bench.put(*[b"x"] * 20, topic="b/1")
        bench.turn_until(lambda: len(fast) == 300)
        begun = bench.clock.steady()
        _let_pass(bench, 20)
        assert len(slow) == pytest.approx(80, abs=6)
        assert len([at for at in slow if at < begun + 1]) <= 8
        assert bench.stats().claimed == 0
        _let_pass(bench, 25)
        assert bench.states() == (0, 0, 450, 0)
