"""Streams under faults and load: too many, slow and dead clients, a store that is away, errors, threads."""

import asyncio
import logging
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from fmq.errors import StoreUnavailable
from fmq_web.live.feed import STUCK_SECONDS, Feed
from fmq_web.live.sampler import MOST_STREAMS
from support.web.databases import QUEUE, Web, web_at
from unit.web.live.bench import Bench, Listener, run, status

pytestmark = pytest.mark.timeout(30)


def test_not_too_many(bench: Bench) -> None:
    """One that ends makes room. Those that never begin go after a while, too."""

    async def scenario() -> None:
        listeners = [Listener(bench) for _ in range(MOST_STREAMS)]
        assert status(lambda: bench.sampler.subscribe(None)) == HTTPStatus.SERVICE_UNAVAILABLE
        await listeners[0].begin()
        await listeners[0].leave()
        bench.sampler.subscribe(None)
        assert status(lambda: bench.sampler.subscribe(None)) == HTTPStatus.SERVICE_UNAVAILABLE
        bench.web.clock.advance(STUCK_SECONDS)
        bench.sampler.subscribe(None)
        assert len(bench.sampler._listeners()) == 1

    run(scenario)


def test_a_store_that_can_not_be_read(bench: Bench) -> None:
    """The page learns why, and of when its figures are; afterwards everything is there again."""

    async def scenario() -> None:
        bench.put(1)
        one = Listener(bench)
        await one.begin()
        at = one.page.at
        bench.error = StoreUnavailable("disk full")
        await bench.second()
        await one.take()
        assert one.page.problem == {"detail": "disk full", "at": at}
        assert one.page.queues
        bench.error = None
        await bench.second()
        await one.take()
        assert one.page.names == ["state", "problem", "state"]
        await one.leave()

    run(scenario)


def test_a_slow_client_gets_the_last_figures(bench: Bench) -> None:
    """In one piece, whatever it has missed."""

    async def scenario() -> None:
        bench.put(1)
        slow = Listener(bench)
        await slow.begin()
        for _ in range(20):
            bench.put(1)
            await bench.second()
        await slow.take()
        assert slow.page.names == ["state", "tick"]
        assert slow.page.queues[QUEUE]["waiting"] == 21
        await slow.leave()

    run(scenario)


def test_a_client_that_takes_nothing_is_dropped(bench: Bench) -> None:
    """After 30 s. Its task is cancelled, so that its connection ends."""

    async def scenario() -> None:
        blocked = asyncio.Event()

        async def respond(feed: Feed) -> None:
            async for _chunk in feed:
                blocked.set()
                await asyncio.Event().wait()  # the socket takes nothing

        stuck = asyncio.ensure_future(respond(bench.sampler.subscribe(None)))
        await blocked.wait()
        other = Listener(bench)
        following = asyncio.ensure_future(other.rest())
        await bench._asleep.wait()
        bench.web.clock.advance(STUCK_SECONDS)
        await bench.second()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert bench.sampler._listeners() == [other.feed]
        bench.sampler.close()
        await following
        assert other.page.names[-1] == "bye"

    run(scenario)


def test_a_response_that_is_cancelled_frees_its_place(bench: Bench) -> None:
    """Whether it waited for news or for its client."""

    async def scenario() -> None:
        for block in (False, True):
            began = asyncio.Event()

            async def respond(feed: Feed, began: asyncio.Event, *, block: bool) -> None:
                async for _chunk in feed:
                    began.set()
                    if block:
                        await asyncio.Event().wait()

            task = asyncio.ensure_future(respond(bench.sampler.subscribe(None), began, block=block))
            await began.wait()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            del task
            while bench.sampler._listeners():  # noqa: ASYNC110 - the loop closes it some time later
                await asyncio.sleep(0)

    run(scenario)


def test_a_quiet_stream_is_kept_alive(tmp_path: Path) -> None:
    """By comments, for example while the store can't be read."""

    async def scenario(web: Web) -> None:
        bench = Bench(web)
        bench.sampler._keep_alive = 0.01
        one = Listener(bench)
        await one.begin()
        assert await one.take() == b":\n\n"
        assert await one.take() == b":\n\n"
        await one.leave()

    with web_at(tmp_path) as web:
        run(lambda: scenario(web))


def test_an_error_of_fmq_ends_the_streams(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; a page that connects again gets a new sampler."""

    async def scenario() -> None:
        one = Listener(bench)
        await one.begin()
        bench.error = ValueError("a bug")
        await bench.second()
        await one.rest()
        bench.error = None
        again = Listener(bench)
        await again.begin()
        await again.leave()

    with caplog.at_level(logging.ERROR):
        run(scenario)
    assert "ValueError" in caplog.text
    assert "a bug" not in caplog.text, "an error's text may hold contents of messages"


def test_many_threads_subscribe_and_sign_out(bench: Bench) -> None:
    """While the loop sends; in the end nobody is left and nothing has failed."""

    async def scenario() -> None:
        feeds: asyncio.Queue[Feed | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def work(number: int) -> None:
            for turn in range(10):
                key = f"{number} {turn}"
                feed = bench.sampler.subscribe(key)
                loop.call_soon_threadsafe(feeds.put_nowait, feed)
                bench.sampler.end_session(key)
                bench.sampler.rates(QUEUE)
            loop.call_soon_threadsafe(feeds.put_nowait, None)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        left, listening = len(threads), []
        while left:
            feed = await feeds.get()
            if feed is None:
                left -= 1
            else:
                listening.append(asyncio.ensure_future(_exhaust(feed)))
        await asyncio.gather(*listening)
        for thread in threads:
            thread.join()
        assert bench.sampler._listeners() == []

    run(scenario)


async def _exhaust(feed: Feed) -> None:
    async for _chunk in feed:
        pass
