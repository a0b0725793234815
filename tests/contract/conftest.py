"""The backends that the contract is asked of."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fmq.store.roles import Store
from support.backends import BACKENDS, EACH_STORE, BackendUnderTest
from support.clock import FakeClock


@pytest.fixture(params=EACH_STORE)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def clock(backend: BackendUnderTest) -> FakeClock:
    return backend.clock


@pytest.fixture
def connect(backend: BackendUnderTest) -> Iterator[Callable[[], Store]]:
    """Opens one more connection to the same store, closed at the end."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(backend.open())


@pytest.fixture
def queue(connect: Callable[[], Store]) -> Store:
    store = connect()
    store.declare("q")
    return store
