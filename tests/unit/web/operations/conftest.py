"""A database, and a runner on it that is closed at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.backoff import Backoff
from fmq_web.operations.runner import Runner
from support.web.databases import Web, web_at

FAST = Backoff(initial=0.001, maximum=0.002)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_at(tmp_path) as one:
        yield one


@pytest.fixture
def runner(web: Web) -> Iterator[Runner]:
    one = Runner(web.stores, web.clock, backoff=FAST, patience=0.05)
    yield one
    one.close()
