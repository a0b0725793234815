"""A real broker and real fmq processes for each test, in a folder of its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.broker import Broker
from support.handing import QUEUE
from support.processes import Processes


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running Mosquitto."""
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    """Processes that end with the test, whether it passes or fails."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def fmq(tmp_path: Path) -> Iterator[Processes]:
    """Starts fmq processes, whose working directory is the test's folder."""
    with Processes(tmp_path) as processes:
        yield processes


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where they keep their queue by default."""
    return tmp_path / "mqtt_queue.db"


@pytest.fixture
def queue(database: Path) -> Iterator[Store]:
    """The same queue, opened in the test, and declared."""
    with open_store(f"sqlite:///{database}") as opened:
        opened.declare(QUEUE)
        yield opened
