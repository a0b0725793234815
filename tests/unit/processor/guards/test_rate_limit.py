"""A rate that the processors of a route share: on a real store, with a clock moved by hand."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.message import Claim, Incoming
from fmq.outcome import Done, RetryLater
from fmq.rate import parse_rate
from fmq.service.http.health import Heartbeat
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.roles import Store
from fmq_processor.guards.rate_limit import Limit, RateLimit
from fmq_processor.guards.store_gate import Gate
from support.clock import FakeClock

Q = "q"


class Rig:
    """Processors with one limit on one store. Each is a rate limit and a connection."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.metrics = ProcessorMetrics(self.registry)
        self._url = f"sqlite:///{folder / 'queue.db'}"
        self._ends = ends
        self.watch = CommitWatch(self.clock, Heartbeat(clock=self.clock))
        self.store = self.connect()
        self.store.declare(Q)

    def connect(self) -> Store:
        return self._ends.enter_context(open_store(self._url, StoreOptions(busy_seconds=0.05), clock=self.clock))

    def processor(self, rate: str, *, burst: int = 0, batch: int = 10, is_batch: bool = False) -> RateLimit:
        store = self.connect()
        gate = Gate(clock=self.clock, rng=random.Random(1), failures=self.metrics.store_failures, commit=self.watch)
        limit = Limit.of(parse_rate(rate), burst, batch=batch, is_batch=is_batch)
        return RateLimit(
            limit, route="main", shown=rate, key="mine", store=store, gate=gate, clock=self.clock, metrics=self.metrics
        )

    def put(self, count: int) -> None:
        self.store.put([Incoming(Q, Q, b"x", self.clock.wall()) for _ in range(count)])

    def settle(self, claims: list[Claim]) -> None:
        self.store.settle([(claim, Done()) for claim in claims])

    @property
    def limited_seconds(self) -> float:
        return self.registry.get_sample_value("fmq_rate_limited_seconds_total", {"route": "main"}) or 0.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as ends:
        yield Rig(tmp_path, ends)


def claim(rate: RateLimit, limit: int = 10) -> list[Claim]:
    return list(rate.claim(Q, limit, lease=60.0))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("rate", "burst", "batch", "is_batch"),
    [("1000/min", 0, 10, False), ("2/s", 0, 100, False), ("60/min", 1, 10, False), ("10/s", 8, 50, True)],
)
def test_the_rate_is_kept(rig: Rig, count: int, rate: str, burst: int, batch: int, *, is_batch: bool) -> None:
    """Within 2 % over a minute, by any number of processors; never more in any time than the limit and the burst."""
    per_second = parse_rate(rate)
    rng = random.Random(3)
    processors = [rig.processor(rate, burst=burst, batch=batch, is_batch=is_batch) for _ in range(count)]
    rig.put(round(per_second * 65) + 30)
    begun, times = rig.clock.steady(), list[float]()
    while (now := rig.clock.steady()) < begun + 60:
        one = rng.choice(processors)
        one.step()
        if one.waits_until is None or now >= one.waits_until:
            claims = claim(one, rng.choice([1, batch]))
            times += [now] * len(claims)
            rig.settle(claims)
        rig.clock.advance(rng.uniform(0.002, 0.03))
    wanted = per_second * 60
    most = burst or max(1, round(per_second))
    assert wanted * 0.98 <= len(times) <= wanted + most
    # At most rate * t + burst, rounded up, within any t: so count minus rate * time never rises by one more than the burst.
    above = [number - per_second * at for number, at in enumerate(times)]
    lowest = accumulate(above, min)
    assert max(one - low + 1 for one, low in zip(above, lowest, strict=True)) < most + 1


def test_messages_that_wait_for_the_rate_are_not_claimed(rig: Rig) -> None:
    """So no lease runs meanwhile, and the time is counted."""
    processor = rig.processor("1/s")
    rig.put(5)
    assert len(claim(processor)) == 1
    processor.step()
    rig.clock.advance(0.01)
    assert not claim(processor)
    assert processor.note == "1/s; messages wait for it"
    assert processor.waits_until == pytest.approx(rig.clock.steady() + 0.49, abs=0.01)
    assert (rig.store.stats(Q).pending, rig.store.stats(Q).claimed) == (4, 1)
    rig.clock.advance(0.3)
    processor.step()
    assert rig.limited_seconds == pytest.approx(0.31, abs=0.02)
    rig.clock.advance(0.2)
    assert len(claim(processor)) == 1
    assert processor.waits_until is None
    assert processor.note == "1/s"


def test_a_limit_of_days_is_asked_about_every_second(rig: Rig) -> None:
    """Another processor may have given back a permit, or died."""
    processor, other = rig.processor("1/d"), rig.processor("1/d")
    rig.put(5)
    assert len(claim(other)) == 1
    assert not claim(processor)
    other.unused(1)  # the filter did not let it through
    other.close()
    rig.clock.advance(1.01)
    assert len(claim(processor)) == 1


def test_unused_permits_are_given_back(rig: Rig) -> None:
    """After a moment, in which the processor could have used them; others get them."""
    processor, other = rig.processor("5/h", burst=8), rig.processor("5/h", burst=8)
    rig.put(6)
    rig.settle(claim(processor, 4))
    processor.unused(4)
    rig.clock.advance(0.3)
    processor.step()
    assert len(claim(other)) == 2


def test_a_processor_that_dies_takes_no_more_than_its_permits(rig: Rig) -> None:
    """They come again with time."""
    dies = rig.processor("10/s", burst=40)
    rig.put(100)
    claim(dies, 3)
    other = rig.processor("10/s", burst=40)
    count = 0
    for _ in range(100):
        count += len(claim(other, 50))
        rig.clock.advance(0.1)
    assert count >= 97


def test_an_idle_processor_writes_nothing(rig: Rig) -> None:
    """Each write would wake all the others. That holds for empty and for paused queues, and while all messages are delayed."""
    processor = rig.processor("100/s")
    watcher = rig.connect()

    def look() -> bool:
        watcher.wait(0)
        processor.step()
        assert not claim(processor)
        rig.clock.advance(10)
        processor.step()
        return watcher.wait(0)

    assert not look()
    rig.put(1)
    (held,) = rig.store.claim(Q, 1, lease=60)
    rig.store.settle([(held, RetryLater(3600.0))])
    assert not look()
    rig.put(1)
    rig.store.pause(Q, "repairs")
    assert not look()


def test_a_message_whose_worker_died_is_found(rig: Rig) -> None:
    """It is not pending, but its lease has run out."""
    processor = rig.processor("100/s")
    rig.put(1)
    rig.store.claim(Q, 1, lease=5)
    assert not claim(processor)
    rig.clock.advance(6)
    processor.step()
    (found,) = claim(processor)
    assert found.suspect


def test_time_goes_on_while_the_store_is_unavailable(rig: Rig) -> None:
    """Permits that can't be given back then are lost; the rate is the same afterwards."""
    processor = rig.processor("10/s")
    rig.put(100)
    claim(processor)
    processor.unused(1)
    rig.store.close()
    rig.clock.advance(100)
    processor.step()
    assert len(claim(processor, 100)) == 6
