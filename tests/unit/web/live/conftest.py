"""A sampler on a store of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.web.databases import web_at
from unit.web.live.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with web_at(tmp_path) as web:
        yield Bench(web)
