"""Streams, as pages get them: figures, their order, and their end."""

import asyncio
from http import HTTPStatus

import pytest

from support.web.databases import QUEUE
from support.web.live import operation
from unit.web.live.bench import Bench, Listener, run, status

pytestmark = pytest.mark.timeout(30)


def test_a_state_and_then_changes(bench: Bench) -> None:
    """The figures are those of the store, queue by queue; an operation is an event of its own."""

    async def scenario() -> None:
        bench.put(3)
        bench.put(1, "other")
        one = Listener(bench)
        await one.begin()
        assert one.page.names == ["state"]
        assert {name: queue["waiting"] for name, queue in one.page.queues.items()} == {QUEUE: 3, "other": 1}
        bench.put(2, "other")
        bench.operations = [operation("o", 5)]
        await bench.second()
        await one.take()
        assert one.page.names == ["state", "tick", "operation"]
        assert one.page.queues["other"]["waiting"] == 3
        assert one.page.operations["o"]["changed"] == 5
        await one.leave()

    run(scenario)


def test_a_new_page_is_not_taken_back_in_time(bench: Bench) -> None:
    """It was made after the last sample, and may show what that one did not know: it waits for the next."""

    async def scenario() -> None:
        bench.put(1)
        one = Listener(bench)
        await one.begin()
        bench.put(1)
        two = Listener(bench)
        beginning = asyncio.ensure_future(two.begin())
        await bench.second()
        await beginning
        assert two.page.queues[QUEUE]["waiting"] == 2
        await one.leave()
        await two.leave()

    run(scenario)


def test_rates_of_what_is_watched(bench: Bench) -> None:
    """They are in the figures, and the views get them."""

    async def scenario() -> None:
        bench.put(1)
        one = Listener(bench)
        await one.begin()
        for _ in range(4):
            bench.put(20)
            await bench.second()
            await one.take()
        assert bench.sampler.rates(QUEUE) == (20.0, 0.0)
        assert one.page.queues[QUEUE]["in_per_second"] == 20.0
        await one.leave()

    run(scenario)


def test_no_work_without_listeners(bench: Bench) -> None:
    """None before the first, none after the last; the next one starts it again with fresh figures."""

    async def scenario() -> None:
        assert (bench.reads, bench.sampler._task) == (0, None)
        bench.put(1)
        for turn in (1, 2):
            one, two = Listener(bench), Listener(bench)
            await one.begin()
            await two.begin()
            assert bench.reads == turn, "one sample serves all"
            await one.leave()
            await two.leave()
            await bench.second()
            task = bench.sampler._task
            assert task is not None
            await task
            assert bench.reads == turn
            bench.put(1)
            bench._asleep.clear()
        last = Listener(bench)
        await last.begin()
        assert last.page.queues[QUEUE]["waiting"] == 3
        await last.leave()

    run(scenario)


def test_the_end_of_a_session_cuts_its_streams(bench: Bench) -> None:
    """From any thread, at once, and only those. A stream that begins too late is refused."""

    async def scenario() -> None:
        mine = [Listener(bench, "mine"), Listener(bench, "mine")]
        others = [Listener(bench, "hers"), Listener(bench)]
        for one in mine + others:
            await one.begin()
        late = Listener(bench, "mine")
        waiting = [asyncio.ensure_future(one.rest()) for one in mine]
        await asyncio.to_thread(bench.sampler.end_session, "mine")
        await asyncio.gather(*waiting)
        await late.rest()
        assert [one.page.names for one in [*mine, late]] == [["state"], ["state"], []]
        assert status(lambda: bench.sampler.subscribe("mine")) == HTTPStatus.UNAUTHORIZED
        await bench.second()
        for one in others:
            await one.take()
            assert one.page.names == ["state", "tick"]
            await one.leave()

    run(scenario)


def test_bye(bench: Bench) -> None:
    """Is the last event of every stream when the server stops, even of one that has not begun."""

    async def scenario() -> None:
        one, late = Listener(bench), Listener(bench)
        await one.begin()
        rest = asyncio.ensure_future(one.rest())
        await asyncio.to_thread(bench.sampler.close)
        await rest
        await late.rest()
        assert (one.page.names, late.page.names) == (["state", "bye"], ["bye"])
        assert status(lambda: bench.sampler.subscribe(None)) == HTTPStatus.SERVICE_UNAVAILABLE

    run(scenario)
