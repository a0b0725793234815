"""The fixture ``fmq_bench``. pytest finds this module by its entry point, so it imports nothing before the fixture is used."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # fmq.testing is slow to load, and most tests of a project don't need it
    from fmq.testing import Bench


@pytest.fixture
def fmq_bench(tmp_path: Path) -> "Iterator[Bench]":
    """A real store in a folder of its own, and a processor to run on it: an ``fmq.testing.Bench``."""
    from fmq.testing import Bench  # noqa: PLC0415 - as above

    with Bench(tmp_path) as bench:
        yield bench
