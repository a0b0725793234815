"""The backends that the contract is asked of."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fmq.queue import Queue, StoreOptions, open_queue
from support.clock import FakeClock

BACKENDS = {"sqlite": "sqlite:///{folder}/queue.db"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=BACKENDS)
def connect(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Callable[[], Queue]]:
    """Opens one more connection to the same store, closed at the end."""
    url = BACKENDS[request.param].format(folder=tmp_path)
    with ExitStack() as opened:
        yield lambda: opened.enter_context(open_queue(url, StoreOptions(busy_seconds=5), clock=clock))


@pytest.fixture
def queue(connect: Callable[[], Queue]) -> Queue:
    store = connect()
    store.declare("q")
    return store
