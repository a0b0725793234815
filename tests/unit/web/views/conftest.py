"""A store that has something of everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.web.filled import Filled, fill


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    made = fill(tmp_path)
    yield made
    made.store.close()
