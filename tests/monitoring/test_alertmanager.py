"""Who is notified, and what is silenced: the project's configuration in a real Alertmanager."""

from collections.abc import Iterator

import pytest
import yaml
from fmq_monitoring.parameters import Parameters

from monitoring.programs import MONITORING, Alertmanager, rules, run
from support.wait import wait_for

CONFIG = MONITORING / "alertmanager" / "alertmanager.yml"
_TOLD = {"critical": "page", "warning": "ticket", "info": "seen"}
_QUEUE = {"queue": "sensors/#"}
_LISTENER = {"instance": "listener:9464"}


@pytest.fixture
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as running:
        yield running


def test_amtool_takes_it() -> None:
    """`amtool check-config` succeeds."""
    assert "SUCCESS" in run("amtool", "check-config", str(CONFIG))


@pytest.mark.parametrize("name", rules())
def test_route(name: str) -> None:
    """Each alert goes to the receiver of its severity."""
    severity = rules()[name]["labels"]["severity"]
    told = run(
        "amtool", "config", "routes", "test", f"--config.file={CONFIG}", f"alertname={name}", f"severity={severity}"
    )
    assert told.split("\n")[0] == _TOLD[severity]


def test_inhibition_names_alerts_that_there_are() -> None:
    """Source and target of each rule exist, and no alert silences itself. A cause silences only what follows in its own store."""
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    store = [*Parameters().store_labels]
    assert config["route"]["group_by"] == [*store, "queue"]
    for rule in config["inhibit_rules"]:
        assert rule["equal"] in (store, [*store, "queue"])
        sources, targets = (set(rule[f"{end}_matchers"][0].split('"')[1].split("|")) for end in ("source", "target"))
        assert sources | targets <= set(rules())
        assert not sources & targets


@pytest.mark.parametrize(
    ("cause", "labels", "silenced", "heard"),
    [
        ("FmqListenerDisconnected", _LISTENER, {"FmqNoProgress", "FmqIntakeStopped"}, {"FmqDiskAlmostFull", "FmqMessagesWaitTooLong"}),
        ("FmqStoreFails", _LISTENER, {"FmqListenerDisconnected", "FmqCommitSlow", "FmqMessagesWaitTooLong"}, {"FmqDeadLetters"}),
        ("FmqSyncStandbyMissing", {}, {"FmqStoreFails", "FmqListenerDisconnected", "FmqMessagesWaitTooLong"}, {"FmqDeadLetters"}),
        ("FmqOldTransaction", {}, {"FmqDeadRowsPileUp"}, {"FmqMessagesWaitTooLong"}),
        ("FmqAbsent", {"service": "processor"}, {"FmqNoProgress", "FmqBacklogLarge"}, {"FmqListenerDisconnected"}),
        ("FmqAbsent", {"service": "listener"}, set(), {"FmqNoProgress"}),
        ("FmqQueuePaused", _QUEUE, {"FmqNoProgress", "FmqBacklogLarge"}, {"FmqMessagesWaitTooLong"}),
        ("FmqCircuitOpen", {"instance": "processor:9465"}, {"FmqHandlerFails", "FmqNoProgress"}, {"FmqMessagesWaitTooLong", "FmqDiskAlmostFull"}),
        ("FmqHandlerFails", _QUEUE, {"FmqDeadLetters"}, {"FmqMessagesWaitTooLong"}),
        ("FmqDiskAlmostFull", {}, {"FmqStoreFails", "FmqDiskFillsUp"}, {"FmqDeadLetters"}),
    ],
)  # fmt: skip
def test_the_cause_silences_what_follows(
    alertmanager: Alertmanager, cause: str, labels: dict[str, str], silenced: set[str], heard: set[str]
) -> None:
    """Of alerts that fire together the cause is reported, and what follows from it is not; the same of another store is."""
    expected = {cause} | silenced | heard

    def told(name: str) -> dict[str, str]:
        own = labels if name == cause else _QUEUE
        return {"alertname": name, "severity": rules()[name]["labels"]["severity"], **own}

    alertmanager.tell(*map(told, expected))
    wait_for(lambda: alertmanager.receivers().keys() == expected, what="Alertmanager to know all")
    wait_for(lambda: alertmanager.silenced() == silenced, 5, what=f"{silenced} to be silenced")


@pytest.mark.parametrize("label", Parameters().store_labels)
def test_another_store_is_not_silenced(alertmanager: Alertmanager, label: str) -> None:
    """A listener without a broker in one namespace, installation or pod says nothing about another one."""
    alertmanager.tell(
        {"alertname": "FmqListenerDisconnected", "severity": "critical", label: "a", **_LISTENER},
        {"alertname": "FmqNoProgress", "severity": "critical", label: "b", **_QUEUE},
    )
    wait_for(lambda: len(alertmanager.receivers()) == 2)
    assert alertmanager.silenced() == set()
