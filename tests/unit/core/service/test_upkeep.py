"""Upkeep while a service runs."""

from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import StoreRefused
from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.service.lifecycle import Shutdown
from fmq.service.upkeep import Upkeep
from fmq.store.backends import open_store
from fmq.store.options import Retention
from fmq.store.records import ServiceReport
from support.wait import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


def lose_the_file(path: Path, error: type[Exception] | None = None) -> None:
    """Run upkeep, take the file away, wait until it asks the service to stop, and end with ``error``."""
    with (
        closing(Shutdown()) as shutdown,
        open_store(f"sqlite:///{path}") as queue,
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
    """What ended the service first is what is reported."""
    with pytest.raises(ZeroDivisionError):
        lose_the_file(path, ZeroDivisionError)


class _Reports:
    """A presence that a test can silence."""

    name = "processor test/1"

    def __init__(self) -> None:
        self.alive = True

    def report(self) -> ServiceReport | None:
        return ServiceReport(self.name, "processor", "test", 1, "0.2.0", 1.0) if self.alive else None


def test_it_reports_its_service_and_notes_minutes(path: Path) -> None:
    """At once, until the service ends in order; without retention nothing but the report is written."""
    with open_store(f"sqlite:///{path}") as store:
        for retention, minutes in ((None, 0), (Retention(), 1)):
            with closing(Shutdown()) as shutdown, open_store(f"sqlite:///{path}") as queue:
                with Upkeep(queue, retention, shutdown, presence=_Reports()):  # type: ignore[arg-type]
                    wait_for(store.services, what="the report")
                    wait_for(lambda: len(store.history()) == minutes, what="the minute")  # noqa: B023
                assert not store.services()


def test_it_counts_the_dead_letters_that_it_deletes(path: Path) -> None:
    """By queue, from 0; without a retention of dead letters, nothing is counted."""
    registry = CollectorRegistry()

    def count() -> float | None:
        return registry.get_sample_value("fmq_discarded_total", {"queue": "q"})

    with open_store(f"sqlite:///{path}") as store:
        store.declare("q")
        for retention in (Retention(), Retention(dead_seconds=0)):
            with (
                closing(Shutdown()) as shutdown,
                open_store(f"sqlite:///{path}") as queue,
                Upkeep(queue, retention, shutdown, registry=registry),
            ):
                if retention.dead_seconds is None:
                    wait_for(store.history, what="a round of upkeep")
                    assert count() is None
                    continue
                wait_for(lambda: count() == 0, what="the series")
                store.put([Incoming("q", "t", b"", 0.0)] * 2)
                store.settle([(claim, Dead("x")) for claim in store.claim("q", 9, lease=60)])
                wait_for(lambda: count() == 2, what="the count")


def test_a_service_whose_loop_stands_still_is_not_reported(path: Path) -> None:
    """Others see that it has not reported for some time."""
    silent = _Reports()
    silent.alive = False
    with (
        open_store(f"sqlite:///{path}") as store,
        closing(Shutdown()) as shutdown,
        open_store(f"sqlite:///{path}") as queue,
        Upkeep(queue, Retention(), shutdown, presence=silent),  # type: ignore[arg-type]
    ):
        wait_for(store.history, what="a round of upkeep")
        assert not store.services()
