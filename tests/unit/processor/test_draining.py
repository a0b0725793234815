"""When ``--drain`` ends a processor."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.message import Incoming, Terms
from fmq.outcome import Done, RetryLater
from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.topics import QUARANTINE
from fmq_processor.draining import Drain
from support.clock import FakeClock


class _Bench:
    """A drain on a real store, whose looks the test asks for."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.store: Store = open_store(f"sqlite:///{folder}/q.db", clock=self.clock)
        self.down = False
        self.shutdown = Shutdown()
        self.start()

    def start(self, *queues: str) -> None:
        self.shutdown.close()
        self.shutdown = Shutdown()
        self.drain = Drain(self.store, queues, self.shutdown, is_down=lambda: self.down, patience=60, clock=self.clock)

    def put(self, queue: str, count: int = 1, delay: float = 0.0) -> None:
        self.store.declare(queue)
        terms = {number: Terms(delay=delay) for number in range(count)}
        self.store.put([Incoming(queue, "t", b"x", 1.0) for _ in range(count)], terms=terms)

    def ends(self) -> bool:
        self.drain.look()
        self.drain.look()
        return self.shutdown.requested


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[_Bench]:
    made = _Bench(tmp_path)
    yield made
    made.store.close()
    made.shutdown.close()


def test_it_ends_when_everything_is_settled(bench: _Bench) -> None:
    """Neither before messages are claimed nor while they are handled."""
    bench.put("q", 2)
    assert not bench.ends()
    claims = bench.store.claim("q", 2, lease=60)
    assert not bench.ends()
    bench.store.settle([(claim, Done()) for claim in claims])
    assert bench.ends()
    assert bench.shutdown.failure is None


def test_it_does_not_end_while_messages_are_settled(bench: _Bench) -> None:
    """Between a settlement and the next claim, nothing may be due: so it looks twice."""
    bench.put("q", 2)
    bench.put("q", delay=60)
    for _ in range(2):
        (claim,) = bench.store.claim("q", 1, lease=60)
        bench.drain.look()
        bench.store.settle([(claim, Done())])
    bench.drain.look()
    assert not bench.shutdown.requested
    bench.drain.look()
    assert bench.shutdown.requested


def test_it_does_not_wait_for_retries_and_names_them(bench: _Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Retries, delays and what is paused: they are left for the next run."""
    bench.put("q", 2)
    bench.store.settle([(claim, RetryLater(40 + claim.message.id)) for claim in bench.store.claim("q", 2, lease=60)])
    bench.put("late", delay=900)
    bench.put("paused", 3)
    bench.store.pause("paused", "by hand")
    with caplog.at_level(logging.INFO):
        assert bench.ends()
    assert caplog.messages[-1] == (
        "Nothing is due any more, stopping; left: 1 waiting in late, the next due in 900 s; "
        "3 pending in paused, which is paused; 2 waiting in q, the next due in 41 s"
    )


def test_a_retry_that_is_due_is_waited_for(bench: _Bench) -> None:
    """As soon as its time has come."""
    bench.put("q", delay=5)
    bench.clock.advance(5)
    assert not bench.ends()


def test_it_looks_at_its_own_queues_only(bench: _Bench) -> None:
    """Those that were asked for, also before they exist; without any, all but the quarantine."""
    bench.put("other")
    bench.start("q", "not there yet")
    bench.put("q")
    assert not bench.ends()
    bench.store.settle([(bench.store.claim("q", 1, lease=60)[0], Done())])
    assert bench.ends()
    bench.start()
    assert not bench.ends()
    bench.store.settle([(bench.store.claim("other", 1, lease=60)[0], Done())])
    bench.put(QUARANTINE)
    assert bench.ends()


def test_a_target_that_stays_down_is_a_failure(bench: _Bench) -> None:
    """Once its time is over, so that the next run tries again; a short outage is waited for."""
    bench.put("q", 2)
    bench.down = True
    assert not bench.ends()
    bench.clock.advance(59)
    assert not bench.ends()
    bench.down = False
    assert not bench.ends()
    bench.down = True
    bench.clock.advance(59)
    assert not bench.ends()
    bench.clock.advance(60)
    assert bench.ends()
    assert bench.shutdown.failure == "a handler's target is down; messages left: 2"


def test_it_goes_on_while_other_routes_work(bench: _Bench) -> None:
    """Although the target of one is down."""
    bench.put("q", 4)
    bench.down = True
    for _ in range(3):
        bench.clock.advance(60)
        assert not bench.ends()
        bench.store.settle([(bench.store.claim("q", 1, lease=60)[0], Done())])
    bench.drain.look()
    assert not bench.ends()
    bench.clock.advance(60)
    assert bench.ends()
    assert bench.shutdown.failure == "a handler's target is down; messages left: 1"


def test_an_empty_store_ends_it_at_once(bench: _Bench) -> None:
    """There is nothing to do."""
    assert bench.ends()
