"""A real Prometheus watches real services: faults are caused for real, and the right alerts fire and clear.

The rules are the project's own, with a second for each minute. Nothing but the expected alerts may fire.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring.expressions import filled, targets
from monitoring.programs import program, run
from monitoring.system import QUEUE, System
from support.wait import wait_for

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """With FMQ_KEEP_FIGURES=file, what the dashboards showed is kept at the end, to be drawn by draw.py."""
    for name in ("prometheus", "promtool"):
        program(name)
    with System(tmp_path_factory.mktemp("live")) as running:
        yield running
        if kept := os.environ.get("FMQ_KEEP_FIGURES"):
            Path(kept).write_text(json.dumps(_seen(running)), encoding="utf-8")


def _seen(system: System) -> dict[str, object]:
    figures = {
        f"{name}\t{title}\t{legend}": system.prometheus.over(filled(expression, QUEUE))
        for name, title, expression, legend in targets()
    }
    return {"begun": system.prometheus.begun, "figures": figures}


@pytest.fixture(autouse=True)
def _quiet_before_and_after(system: System) -> Iterator[None]:
    """Each test begins and ends with nothing firing: what a fault has fired is over with the fault."""
    system.wait_until_quiet()
    yield
    system.wait_until_quiet()


def test_the_page_is_what_prometheus_likes(system: System) -> None:
    """`promtool check metrics` has nothing to say about the live pages of listener and processor."""
    for job in ("fmq-listener", "fmq-processor"):
        page = system.folder / "page"
        page.write_text(system.page(job), encoding="utf-8")
        assert run("sh", "-c", f"promtool check metrics <'{page}'") == ""


def test_stopped_processors(system: System) -> None:
    """Without processors the backlog grows and ages: every alert of that fires, and all clear once they are back."""
    system.stop_processors()
    expected = {
        "FmqAbsent",
        "FmqNoProgress",
        "FmqMessagesWaitTooLong",
        "FmqBacklogLarge",
        "FmqBacklogWillBeLarge",
    }
    try:
        assert system.wait_until_fires(expected) == expected
    finally:
        system.start_processors()


def test_failing_handler(system: System) -> None:
    """A handler that fails is told of by its ratio, and by the dead letters that come of it."""
    system.handler("fail")
    expected = {"FmqHandlerFails", "FmqDeadLetters"}
    try:
        assert system.wait_until_fires(expected) == expected
    finally:
        system.handler("well")


def test_broker_that_is_away(system: System) -> None:
    """A listener without a broker is told of; one that has to connect again and again too."""
    system.broker.stop()
    try:
        assert system.wait_until_fires({"FmqListenerDisconnected"}) == {"FmqListenerDisconnected"}
        for number in range(1, 7):
            system.broker.start()
            wait_for(lambda times=number: system.reconnects() >= times, what="the listener to be back")  # type: ignore[misc]
            system.broker.stop()
    finally:
        system.broker.start()
    assert system.wait_until_fires({"FmqReconnectsOften"}) <= {"FmqReconnectsOften", "FmqListenerDisconnected"}


def test_locked_store(system: System) -> None:
    """A store that can't be written is told of; the listener leaves its broker until it can."""
    with system.store_locked():
        fired = system.wait_until_fires({"FmqStoreFails"})
    assert fired <= {"FmqStoreFails", "FmqListenerDisconnected", "FmqNoProgress"}


def test_slow_commits_and_a_reader_that_stays(system: System) -> None:
    """Slow commits and a log that can't be emptied are told of while messages still come through."""
    expected = {"FmqCommitSlow", "FmqWalLarge"}
    with system.open_reader():
        system.publish_much()
        system.wait_until_fires({"FmqWalLarge"})
        with system.store_locked(seconds=1.3):
            fired = system.wait_until_fires(expected)
    assert fired <= expected | {"FmqLeasesRunOut", "FmqStoreFails", "FmqReconnectsOften"}
