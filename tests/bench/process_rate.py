"""Messages per second of one processor: `python tests/bench/process_rate.py --help`."""

import asyncio
import cProfile
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from fmq.handler import Handler
from fmq.health import Heartbeat
from fmq.message import Incoming, Message
from fmq.metrics import ProcessorMetrics
from fmq.outcome import Done
from fmq.queue import Durability, Queue, StoreOptions, open_queue
from fmq_processor.assembly import make_worker
from fmq_processor.settings import ProcessorSettings

_QUEUE = "bench"
_PAYLOAD = (
    b'{"sensor":"s-17","at":"2026-01-15T10:30:45Z","temperature":21.5,"humidity":48.2,"battery":3.71,"rssi":-67,"n":%d}'
)


def _noop(_: Message) -> None:
    pass


def _noop_batch(_: Sequence[Message]) -> None:
    pass


async def _wait_50_ms(_: Message) -> None:
    await asyncio.sleep(0.05)


HANDLERS = {
    "noop": Handler("noop", _noop),
    "batch": Handler("batch", _noop_batch, is_batch=True),
    "async": Handler("async", _wait_50_ms, is_async=True),
}


def fill(queue: Queue, count: int) -> None:
    """Put ``count`` messages."""
    queue.declare(_QUEUE)
    for start in range(0, count, 1_000):
        numbers = range(start, min(count, start + 1_000))
        queue.put([Incoming(_QUEUE, f"bench/{n % 50}", _PAYLOAD % n, time.time()) for n in numbers])


@click.command()
@click.option("--messages", default=100_000)
@click.option("--batch", default=100)
@click.option("--concurrency", default=0)
@click.option("--handler", type=click.Choice([*HANDLERS, "bare"]), default="noop", help="bare: no worker at all.")
@click.option("--runs", default=1)
@click.option("--profile", is_flag=True)
def main(messages: int, batch: int, concurrency: int, handler: str, runs: int, *, profile: bool) -> None:
    """Drain a queue with one worker, or with nothing but claims and settlements, and print the rate."""
    rates = sorted(
        _bare(messages, batch)
        if handler == "bare"
        else _run(messages, batch, concurrency, HANDLERS[handler], profile=profile)
        for _ in range(runs)
    )
    click.echo(
        f"{handler}, batch {batch}: {rates[len(rates) // 2]:,.0f} msg/s (median of {runs}, {rates[0]:,.0f} to {rates[-1]:,.0f})"
    )


def _bare(messages: int, batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        with open_queue(url, StoreOptions(durability=Durability.NORMAL)) as queue:
            fill(queue, messages)
            began = time.perf_counter()
            while claims := queue.claim(_QUEUE, batch, lease=60):
                queue.settle([(claim, Done()) for claim in claims])
            return messages / (time.perf_counter() - began)


def _run(messages: int, batch: int, concurrency: int, handler: Handler, *, profile: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        with open_queue(url, StoreOptions(durability=Durability.NORMAL)) as queue:
            fill(queue, messages)
            worker, runner = make_worker(
                ProcessorSettings(batch=batch, concurrency=concurrency, topics=(_QUEUE,), queue_url=url),
                handler=handler,
                queue=queue,
                metrics=ProcessorMetrics(CollectorRegistry()),
                heartbeat=Heartbeat(),
                rng=random.Random(1),
            )
            runner.start()
            profiler = cProfile.Profile()
            if profile:
                profiler.enable()
            began = time.perf_counter()
            while queue.stats(_QUEUE).done < messages:
                worker.turn()
            seconds = time.perf_counter() - began
            if profile:
                profiler.disable()
                pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(22)
            runner.stop(5)
    return messages / seconds


if __name__ == "__main__":
    main()
