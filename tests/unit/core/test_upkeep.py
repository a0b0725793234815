"""Upkeep beside a service."""

from contextlib import closing
from pathlib import Path

import pytest

from fmq.errors import StoreRefused
from fmq.lifecycle import Shutdown
from fmq.queue import Retention, open_queue
from fmq.upkeep import Upkeep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


def lose_the_file(path: Path, error: type[Exception] | None = None) -> None:
    """Run upkeep, take the file away, wait until it asks the service to stop, and end with ``error``."""
    with (
        closing(Shutdown()) as shutdown,
        open_queue(f"sqlite:///{path}") as queue,
        Upkeep(queue, Retention(), shutdown),
    ):
        path.rename(path.with_name("away.db"))
        assert shutdown.wait(1.0)
        if error:
            raise error


def test_it_ends_a_service_whose_store_is_gone(path: Path) -> None:
    """Within a second it asks the service to stop, and leaving it raises why."""
    with pytest.raises(StoreRefused, match="removed or renamed"):
        lose_the_file(path)


def test_another_error_is_not_hidden_by_it(path: Path) -> None:
    """What ended the service first is what is told."""
    with pytest.raises(ZeroDivisionError):
        lose_the_file(path, ZeroDivisionError)
