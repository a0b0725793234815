"""A real Prometheus watches two real installations: faults are caused for real, and the right alerts fire and clear.

The rules are the project's own, with a second for each minute. Nothing but the expected alerts may fire, each with the label of the
installation that has the fault: the other one stays silent. Some faults are caused in both at once, a different one in each.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import promql_parser as promql
import pytest

from monitoring.expressions import OF_SERVER, filled, selectors, targets
from monitoring.installation import QUEUE, RARE
from monitoring.programs import program, rules, run
from monitoring.system import System, other_disk
from support.broker import publish
from support.wait import wait_for

pytestmark = pytest.mark.timeout(300)
_AGAIN_AND_AGAIN = {
    "FmqRestartLoop",
    "FmqLeasesRunOut",
    "FmqBrokerDrops",
    "FmqListenerDisconnected",
    "FmqReconnectsOften",
}
_BACKLOG = {"FmqNoProgress", "FmqMessagesWaitTooLong", "FmqBacklogLarge", "FmqBacklogWillBeLarge"}
_NOT_CAUSED = {"FmqDeadLettersKept", "FmqDiskFillsUp", "FmqStoreUnreadable"}
"""Take a day, a disk that fills for hours, or a broken file."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    for name in ("prometheus", "promtool", "prometheus-alertmanager"):
        program(name)
    with (
        tempfile.TemporaryDirectory(dir=other_disk()) as other,
        System(tmp_path_factory.mktemp("live"), Path(other)) as running,
    ):
        yield running


@pytest.fixture(autouse=True, scope="class")
def _quiet_before_and_after(system: System) -> Iterator[None]:
    """Each test, and each class of tests, begins and ends with nothing firing: what a fault fires is over with it."""
    system.wait_until_quiet()
    yield
    system.wait_until_quiet()


def test_the_page_is_what_prometheus_likes(system: System) -> None:
    """`promtool check metrics` has nothing to say about the live pages of listener and processor."""
    for part in ("listener", "processor"):
        page = system.folder / "page"
        page.write_text(system.north.page(part), encoding="utf-8")
        assert run("sh", "-c", f"promtool check metrics <'{page}'") == ""


def test_stopped_processors_and_a_frozen_listener(system: System) -> None:
    """Without processors the backlog grows and ages: every alert of that fires. A frozen listener elsewhere is reported, too.

    Each alert is muted only by what happens in its own installation.
    """
    north, south = system.north, system.south
    north.stop_processors()
    south.listener.stop_for_a_while()
    try:
        system.fires({north: {"FmqTargetDown", "FmqAbsent", *_BACKLOG}, south: {"FmqTargetDown", "FmqAbsent"}}, {})
        down = {north.instance("processor"), north.instance("processor-2"), south.instance("listener")}
        assert system.instances("FmqTargetDown") == down
        muted = {"FmqBacklogLarge", "FmqBacklogWillBeLarge", "FmqNoProgress", "FmqMessagesWaitTooLong"}
        wait_for(lambda: system.alertmanager.silenced() == muted, what="Alertmanager to mute what follows")
        assert all(
            one["installation"] == by["installation"] == "north" for one, by in system.alertmanager.inhibitions()
        )
    finally:
        south.listener.go_on()
        north.start_processors()


def test_failing_handler_and_poison(system: System) -> None:
    """A handler that fails is reported by its ratio and the dead letters that come of it; elsewhere, dead letters that are deleted."""
    system.north.handler("fail")
    system.south.publish_poison()
    expected = {system.north: {"FmqHandlerFails", "FmqDeadLetters"}, system.south: {"FmqDeadLetters", "FmqDiscarded"}}
    try:
        system.fires(expected, {})
    finally:
        system.north.handler("well")


def test_target_that_is_down_and_few_files(system: System) -> None:
    """A handler that says that its target is down opens the circuit of its processor; no message is given up over it.

    Elsewhere, a processor that may open hardly any more files is reported.
    """
    system.north.handler("down")
    given_up = 'sum(fmq_dead_lettered_total{installation="north",reason="unavailable"})'
    try:
        with system.south.few_files():
            expected = {system.north: {"FmqCircuitOpen"}, system.south: {"FmqFileDescriptors"}}
            system.fires(expected, {system.north: {"FmqHandlerFails"}})
            assert system.instances("FmqFileDescriptors") == {system.south.instance("processor-2")}
    finally:
        system.north.handler("well")
    (dead,) = system.prometheus.query(given_up)
    assert dead["value"][1] == "0"


class TestAgainAndAgain:
    """Faults whose alerts look back for a while: caused one after the other, waited for together until all are clear."""

    def test_processor_that_starts_again_and_again(self, system: System) -> None:
        """Three starts of one service are a loop."""
        for _ in range(3):
            system.restart_processor(system.north)
        system.fires({system.north: {"FmqRestartLoop"}}, {})
        assert system.instances("FmqRestartLoop") == {system.north.instance("processor-2")}

    def test_frozen_processor(self, system: System) -> None:
        """One of two processors that freezes is reported, and when it continues that it lost a message to the other."""
        north = system.north
        frozen = north.processors[0]
        north.handler("slow")
        wait_for(lambda: [1 for call in north.calls() if call[:2] == ("slow", frozen.pid)], what="a long call to begin")
        frozen.stop_for_a_while()
        north.handler("well")
        try:
            held = [message for _, pid, message in north.calls() if pid == frozen.pid][-1]
            wait_for(
                lambda: [1 for _, pid, one in north.calls() if one == held and pid != frozen.pid], what="the other"
            )
            system.fires({north: {"FmqTargetDown"}}, {north: _AGAIN_AND_AGAIN})
            assert system.instances("FmqTargetDown") == {north.instance("processor")}
        finally:
            frozen.go_on()
        system.fires({north: {"FmqLeasesRunOut"}}, {north: {"FmqTargetDown", *_AGAIN_AND_AGAIN}})

    def test_broker_that_drops(self, system: System) -> None:
        """What a broker with little room drops while the listener is away is reported when it is back."""
        north = system.north
        assert north.listener.terminate() == 0
        north.restart_broker(small=True)
        publish(north.broker.port, [("sensors/dropped", b"{}")] * 100)
        north.start_listener()
        system.fires(
            {north: {"FmqBrokerDrops"}}, {north: {"FmqTargetDown", *_AGAIN_AND_AGAIN}}
        )  # the listener was away

    def test_broker_that_is_away(self, system: System) -> None:
        """A listener without a broker is reported; one that has to connect repeatedly too."""
        north = system.north
        north.broker.stop()
        try:
            system.fires({north: {"FmqListenerDisconnected"}}, {north: _AGAIN_AND_AGAIN})
            for number in range(1, 7):
                north.restart_broker(small=False)
                wait_for(lambda times=number: north.reconnects() >= times, what="the listener to be back")  # type: ignore[misc]
                north.broker.stop()
        finally:
            north.broker.start()
        system.fires({north: {"FmqReconnectsOften"}}, {north: _AGAIN_AND_AGAIN})

    def test_broker_that_hands_over_strange_messages(self, system: System) -> None:
        """What matches no filter, what is quarantined and what is too large is reported, each by its own alert."""
        expected = {"FmqUnroutable", "FmqQuarantined", "FmqOversizedPackets"}
        with system.north.strange_broker():
            system.fires({system.north: expected}, {system.north: _AGAIN_AND_AGAIN})


def test_paused_queue_stray_processor_and_certificate(system: System) -> None:
    """A queue that someone has paused and forgotten is reported until it is resumed.

    Elsewhere, the broker's certificate is about to expire, and a processor of an older version uses another store. It is reported until
    it is no longer a target: that it then ends wakes nobody.
    """
    south = system.south
    with south.short_certificate(), south.stray(), system.north.paused(), system.watching(south.target("stray")):
        in_south = {"FmqVersionsDiffer", "FmqStoresDiffer", "FmqCertificateExpires"}
        system.fires({system.north: {"FmqQueuePaused"}, south: in_south}, {})
        assert system.instances("FmqCertificateExpires") == {south.instance("listener")}
    system.wait_until_quiet()
    missed = f'ALERTS{{alertname="FmqTargetDown",instance="{south.instance("stray")}"}}'
    assert system.prometheus.over(missed) == []


def test_locked_store(system: System) -> None:
    """A store that can't be written is reported; the listener leaves its broker until it can."""
    north = system.north
    with north.store_locked():
        system.fires({north: {"FmqStoreFails"}}, {north: {"FmqListenerDisconnected", "FmqNoProgress"}})


def test_full_disk(system: System) -> None:
    """A disk that is almost full is reported, and a listener that has no room on it; both clear with room."""
    expected = {"FmqDiskAlmostFull", "FmqStoreFails"}
    with system.smaller_disk() as (one, room):
        with one.no_room(room):
            system.fires({one: expected}, {one: {"FmqListenerDisconnected", "FmqReconnectsOften"}})
        system.wait_until_quiet()


def test_slow_commits_and_a_reader_that_stays(system: System) -> None:
    """Slow commits and a log that can't be emptied are reported while messages still come through."""
    north = system.north
    with north.open_reader():
        north.publish_much()
        system.fires({north: {"FmqWalLarge"}}, {north: {"FmqCommitSlow"}})
        with north.store_locked(seconds=1.3):
            also = {"FmqLeasesRunOut", "FmqStoreFails", "FmqReconnectsOften"}
            system.fires({north: {"FmqCommitSlow", "FmqWalLarge"}}, {north: also})


def test_silent_publishers(system: System) -> None:
    """A queue that had messages and gets none for long is reported, until one comes."""
    wait_for(lambda: "FmqIntakeStopped" in system.prometheus.firing(), 60, what="the alert")
    (alert,) = [one for one in system.prometheus.alerts() if one["alertname"] == "FmqIntakeStopped"]
    assert (alert["installation"], alert["queue"]) == ("north", RARE)
    system.north.publish_rarely()
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
