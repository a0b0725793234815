"""A real Prometheus watches real services: faults are caused for real, and the right alerts fire and clear.

The rules are the project's own, with a second for each minute. Nothing but the expected alerts may fire.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql
import pytest

from monitoring.expressions import OF_SERVER, filled, selectors, targets
from monitoring.programs import program, rules, run
from monitoring.system import QUEUE, System
from support.broker import publish
from support.wait import wait_for

pytestmark = pytest.mark.timeout(180)
_AGAIN_AND_AGAIN = {
    "FmqRestartLoop",
    "FmqLeasesRunOut",
    "FmqBrokerDrops",
    "FmqListenerDisconnected",
    "FmqReconnectsOften",
}
_NOT_CAUSED = {"FmqDeadLettersKept", "FmqDiskFillsUp", "FmqStoreUnreadable"}
"""Take a day, a disk that fills for hours, or a broken file."""


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
    return {"begun": system.prometheus.begun, "ended": time.time(), "figures": figures}


@pytest.fixture(autouse=True, scope="class")
def _quiet_before_and_after(system: System) -> Iterator[None]:
    """Each test, and each class of tests, begins and ends with nothing firing: what a fault fires is over with it."""
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
    """A handler that fails is reported by its ratio, and by the dead letters that come of it."""
    system.handler("fail")
    expected = {"FmqHandlerFails", "FmqDeadLetters"}
    try:
        assert system.wait_until_fires(expected) == expected
    finally:
        system.handler("well")


def test_target_that_is_down(system: System) -> None:
    """A handler that says so opens the circuit of its processor, which is reported; no message is given up over it."""
    system.handler("down")
    try:
        assert system.wait_until_fires({"FmqCircuitOpen"}) <= {"FmqCircuitOpen", "FmqHandlerFails"}
    finally:
        system.handler("well")
    (dead,) = system.prometheus.query('sum(fmq_dead_lettered_total{reason="unavailable"})')
    assert dead["value"][1] == "0"


class TestAgainAndAgain:
    """Faults whose alerts look back for a while: caused one after the other, waited for together until all are clear."""

    def test_processor_that_starts_again_and_again(self, system: System) -> None:
        """Three starts of one service are a loop."""
        for _ in range(3):
            system.restart_processor()
        assert system.wait_until_fires({"FmqRestartLoop"}) == {"FmqRestartLoop"}

    def test_frozen_processor(self, system: System) -> None:
        """A processor that stalls while it holds a message loses it to another, and is reported when it continues."""
        frozen = system.processors[0]
        system.handler("slow")
        wait_for(
            lambda: [1 for call in system.calls() if call[:2] == ("slow", frozen.pid)], what="a long call to begin"
        )
        frozen.stop_for_a_while()
        system.handler("well")
        try:
            held = [message for _, pid, message in system.calls() if pid == frozen.pid][-1]
            wait_for(
                lambda: [1 for _, pid, one in system.calls() if one == held and pid != frozen.pid], what="the other"
            )
        finally:
            frozen.go_on()
        assert system.wait_until_fires({"FmqLeasesRunOut"}) <= _AGAIN_AND_AGAIN

    def test_broker_that_drops(self, system: System) -> None:
        """What a broker with little room drops while the listener is away is reported when it is back."""
        assert system.listener.terminate() == 0
        system.restart_broker(small=True)
        publish(system.broker.port, [("sensors/dropped", b"{}")] * 100)
        system.start_listener()
        assert system.wait_until_fires({"FmqBrokerDrops"}) <= _AGAIN_AND_AGAIN

    def test_broker_that_is_away(self, system: System) -> None:
        """A listener without a broker is reported; one that has to connect repeatedly too."""
        system.broker.stop()
        try:
            assert system.wait_until_fires({"FmqListenerDisconnected"}) <= _AGAIN_AND_AGAIN
            for number in range(1, 7):
                system.restart_broker(small=False)
                wait_for(lambda times=number: system.reconnects() >= times, what="the listener to be back")  # type: ignore[misc]
                system.broker.stop()
        finally:
            system.broker.start()
        assert system.wait_until_fires({"FmqReconnectsOften"}) <= _AGAIN_AND_AGAIN

    def test_broker_that_hands_over_strange_messages(self, system: System) -> None:
        """What matches no filter, what is quarantined and what is too large is reported, each by its own alert."""
        expected = {"FmqUnroutable", "FmqQuarantined", "FmqOversizedPackets"}
        with system.strange_broker():
            fired = system.wait_until_fires(expected)
        assert fired <= expected | _AGAIN_AND_AGAIN


def test_paused_queue(system: System) -> None:
    """A queue that someone has paused and forgotten is reported until it is resumed."""
    with system.paused():
        assert system.wait_until_fires({"FmqQueuePaused"}) == {"FmqQueuePaused"}


def test_locked_store(system: System) -> None:
    """A store that can't be written is reported; the listener leaves its broker until it can."""
    with system.store_locked():
        fired = system.wait_until_fires({"FmqStoreFails"})
    assert fired <= {"FmqStoreFails", "FmqListenerDisconnected", "FmqNoProgress"}


def test_full_disk(system: System) -> None:
    """A disk that is almost full is reported, and a listener that has no room on it; both clear with room."""
    expected = {"FmqDiskAlmostFull", "FmqStoreFails"}
    with system.disk_limit():
        with system.disk_full():
            fired = system.wait_until_fires(expected)
        system.wait_until_quiet()
    assert fired <= expected | {"FmqListenerDisconnected", "FmqReconnectsOften"}


def test_slow_commits_and_a_reader_that_stays(system: System) -> None:
    """Slow commits and a log that can't be emptied are reported while messages still come through."""
    expected = {"FmqCommitSlow", "FmqWalLarge"}
    with system.open_reader():
        system.publish_much()
        system.wait_until_fires({"FmqWalLarge"})
        with system.store_locked(seconds=1.3):
            fired = system.wait_until_fires(expected)
    assert fired <= expected | {"FmqLeasesRunOut", "FmqStoreFails", "FmqReconnectsOften"}


def test_silent_publishers(system: System) -> None:
    """A queue that had messages and gets none for long is reported, until one comes."""
    system.wait_until_fires({"FmqIntakeStopped"})
    system.publish_rarely()
    wait_for(lambda: "FmqIntakeStopped" not in system.prometheus.firing(), what="the alert to clear")


def test_every_expression_had_something_to_tell(system: System) -> None:
    """Each query of each dashboard, each recorded rule and each alert that was caused; the others' metrics at least.

    What only a store on PostgreSQL has is asked for in test_live_postgres. And Prometheus could evaluate every rule.
    """
    silent = [
        title
        for _, title, query, _ in targets()
        if not OF_SERVER.search(query) and not system.prometheus.over(filled(query, QUEUE))
    ]
    assert silent == []
    here = [name for name, rule in rules().items() if not OF_SERVER.search(rule["expr"])]
    asked = [*rules("record"), *(f'ALERTS{{alertname="{name}"}}' for name in here if name not in _NOT_CAUSED)]
    asked += [str(one) for name in _NOT_CAUSED for one in selectors(promql.parse(rules()[name]["expr"]))]
    assert [expression for expression in asked if not system.prometheus.over(expression)] == []
    assert system.prometheus.rule_errors() == {}
