"""Memory for decoded values: what they take is not more than was taken for them, and every waiter gets a turn."""

import gzip
import json
import threading
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest

from fmq import Message, batch_handler
from fmq_processor.prepare.decoding import make_decoder
from fmq_processor.prepare.memory import NoRoom, Room, Share
from support.workbench import Workbench

_MANY = 20_000
VALUES = {
    "empty lists": [[] for _ in range(_MANY)],
    "lists of one": [[0] for _ in range(_MANY)],
    "empty dicts": [{} for _ in range(_MANY)],
    "dicts of one": [{"": 0} for _ in range(_MANY)],
    "one large dict": {str(number): number for number in range(1_000_000, 1_000_000 + _MANY)},
    "one dict that has just grown": {str(number): number for number in range(100_000, 100_000 + 10_924)},
    "small numbers": list(range(1_000, 1_000 + _MANY)),
    "fractions": [number + 0.5 for number in range(_MANY)],
    "short texts": [f"{number:03x}" for number in range(4096)] * 4,
    "wide texts": ["a" * 50 + "\U0001f600" for _ in range(_MANY)],
    "one wide text": "a" * 100_000 + "\U0001f600",
    "a real reading": [{"id": number, "at": 1.5, "site": "plant-7", "tags": ["a", "b"]} for number in range(2_000)],
}
PACKED = {
    "extensions": [msgpack.ExtType(1, b"") for _ in range(_MANY)],
    "bytes": [b"ab" for _ in range(_MANY)],
}


class _Noting(Share):
    """Notes what was asked for."""

    def __init__(self) -> None:
        super().__init__(None)
        self.closest = 0

    def take(self, size: int, exactly: Any = None) -> None:  # noqa: ANN401
        self.closest = min(size, exactly())
        assert self.closest <= size


@pytest.mark.parametrize(
    ("kind", "name"), [*(("json", name) for name in VALUES), *(("msgpack", name) for name in {**VALUES, **PACKED})]
)
def test_a_value_takes_no_more_than_was_taken_for_it(kind: str, name: str) -> None:
    """By CPython's own count, the decoder's work included, for whatever a publisher may fill a payload with."""
    value: Any = {**VALUES, **PACKED}[name]
    payload = (
        msgpack.packb(value)
        if kind == "msgpack"
        else json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    )
    decode = make_decoder(kind, most_bytes=10**9)
    assert decode is not None
    message, share = Message(1, "q", "t", payload, 0.0), _Noting()

    def taken() -> int:
        tracemalloc.start()
        try:
            found = decode(message, share)
            assert found is not None
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    tries = [taken() for _ in range(2)]
    # What other threads of the test run allocate counts too, but not each time.
    assert min(tries) <= share.closest + 10_000


def test_the_first_one_is_granted_whatever_it_takes() -> None:
    """Then nothing else until it has ended."""
    room = Room(100)
    first, second = room.share(), room.share()
    first.take(1_000)
    with pytest.raises(NoRoom):
        second.take(1)
    first.end()
    second.take(1)
    assert (first.held, second.held) == (0, 1)


def test_one_value_in_several_steps_is_still_the_first() -> None:
    """What is unpacked and then decoded takes twice; another value of the same call does not come in next to it."""
    share = Room(100).share()
    assert share.begin() == 0
    share.take(1_000)
    share.shrink(500)
    share.take(2_000)
    assert share.begin() == 2_500
    with pytest.raises(NoRoom):
        share.take(1)


def test_a_large_one_gets_its_turn() -> None:
    """Small ones that come later don't keep it waiting: after a refusal all that is held has to end first."""
    room = Room(100)
    small, large, later = room.share(), room.share(), room.share()
    small.take(40)
    with pytest.raises(NoRoom):
        large.take(90)
    with pytest.raises(NoRoom):
        later.take(10)
    small.end()
    large.take(90)
    later.take(10)


def test_a_size_is_looked_at_closely_only_where_it_matters() -> None:
    """That costs time."""
    room = Room(100)
    share = room.share()
    share.take(60, lambda: pytest.fail("there is room"))
    share.begin()
    share.take(80, lambda: 30)
    assert share.held == 90


def _has(items: list[int], count: int) -> bool:
    return len(items) == count


@pytest.mark.parametrize("decode", ["json", "gzip,json"])
@pytest.mark.parametrize("batch", [False, True])
def test_bombs_are_decoded_one_after_the_other(tmp_path: Path, decode: str, *, batch: bool) -> None:
    """However many calls may run, or stand in a batch; each comes to the handler once and costs no attempt."""
    seen: list[int] = []
    running: set[int] = set()
    go_on = threading.Semaphore(0)

    def handle(message: Message) -> None:
        running.add(message.id)
        assert go_on.acquire(timeout=20)
        running.remove(message.id)
        seen.append(message.id)

    @batch_handler
    def handle_batch(messages: Sequence[Message]) -> None:
        running.update(message.id for message in messages)
        assert go_on.acquire(timeout=20)
        running.clear()
        seen.extend(message.id for message in messages)

    bomb = json.dumps([[] for _ in range(1_000)]).encode()
    if decode != "json":
        bomb = gzip.compress(bomb)
    settings = {"decode": decode, "batch": 10, "concurrency": 1 if batch else 8, "batch_bytes": 200_000}
    with Workbench(tmp_path, handle_batch if batch else handle, handler_timeout=0, **settings) as bench:

        def is_running() -> bool:
            bench.turn()
            bench.clock.advance(0.05)  # what was postponed comes again
            return bool(running)

        bench.put(*[bomb] * 6)
        for number in range(1, 7):
            bench.turn_until(is_running)
            assert all(is_running() and len(running) == 1 for _ in range(5))
            go_on.release()
            bench.turn_until(partial(_has, seen, number))
        bench.turn_until(lambda: bench.states() == (0, 0, 6, 0))
        assert bench.metric("fmq_retries_total") == 0
    assert sorted(seen) == list(range(1, 7))
