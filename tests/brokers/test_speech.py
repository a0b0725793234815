"""What each broker says of itself, and how fmq meets it: versions of MQTT, transports, the client id, `fmq doctor`."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from support.brokers.plain import Plain
from support.brokers.service import Service
from support.brokers.trial import SUBSCRIBED, Trial, numbered

_LIMITS = {
    "ReceiveMaximum": "Receive Maximum",
    "MaximumQoS": "Maximum QoS",
    "SessionExpiryInterval": "sessions kept (s)",
    "MaximumPacketSize": "Maximum Packet Size",
    "RetainAvailable": "retain",
    "SharedSubscriptionAvailable": "shared subscriptions",
    "SubscriptionIdentifierAvailable": "subscription identifiers",
}


@pytest.mark.feature("Versions of MQTT")
def test_version_5_is_answered_or_its_absence_explained(
    service: Service, versions: Sequence[str], tmp_path: Path, says: Callable[..., None]
) -> None:
    """A listener with the default version works, or says which version to set (or sets it); it is never left guessing."""
    client = service.plain("5", "asks").connect()
    says(f"5, 3.1.1{_limits(client)}" if not client.refusal else f"3.1.1 (MQTT 5: {client.refusal})")
    client.close()
    assert "3.1.1" in versions
    with Trial(service, "5", tmp_path / "default", says) as trial:
        listener = trial.listen(trial.topic("#"), ready=False, FMQ_MQTT_VERSION=None)
        if "5" in versions:
            listener.wait_to_say(SUBSCRIBED, 60)
        else:
            listener.wait_to_say("FMQ_MQTT_VERSION", 30)


def _limits(client: Plain) -> str:
    found = {words: client.limit(name) for name, words in _LIMITS.items()}
    told = [f"{words} {value}" for words, value in found.items() if value is not None and words != "sessions kept (s)"]
    return f" (CONNACK: {', '.join(told)})" if told else ""


@pytest.fixture
def secure_service(kind: type[Service], tmp_path: Path) -> Iterator[Service]:
    """The broker once more, with TLS."""
    with kind(tmp_path / "secure", secure=True) as running:
        yield running


@pytest.mark.feature("TCP, WebSocket")
def test_plain_transports(trials: Iterator[Trial]) -> None:
    """Small, empty and large messages come over every transport that the broker offers with this version of MQTT."""
    for trial in trials:
        trial.says(
            ", ".join(_arrives_over(trial, scheme) for scheme in trial.service.offered if _answers(trial, scheme))
        )


@pytest.mark.feature("TLS")
def test_secure_transports(
    secure_service: Service, versions: Sequence[str], tmp_path: Path, says: Callable[..., None]
) -> None:
    """The same with TLS, the broker's certificate checked."""
    for version in versions:
        with Trial(secure_service, version, tmp_path / version.replace(".", ""), says) as trial:
            schemes = [scheme for scheme in secure_service.offered if _answers(trial, scheme)]
            trial.says(", ".join(_arrives_over(trial, scheme) for scheme in schemes))


def _answers(trial: Trial, scheme: str) -> bool:
    client = trial.service.plain(trial.version, trial.name, scheme=scheme).connect()
    client.close()
    return not client.refusal


def _arrives_over(trial: Trial, scheme: str) -> str:
    name = f"over-{scheme}"
    listener = trial.listen(trial.topic(f"{scheme}/#"), scheme=scheme, database=name)
    payloads = [b"", bytes(200_000), *numbered("n", 50)]
    with trial.service.plain(trial.version, scheme=scheme) as client:
        client.publish([(trial.topic(f"{scheme}/x"), payload) for payload in payloads])
    trial.await_stored(trial.topic(f"{scheme}/#"), payloads, database=name)
    assert listener.terminate() == 0
    return scheme


@pytest.mark.feature("The default client id")
@pytest.mark.parametrize("host", ["plant-7.example.com"])
def test_default_client_id(trials: Iterator[Trial], host: str) -> None:
    """The broker takes the client id that fmq makes of itself, on a machine whose name has dots."""
    for trial in trials:
        with trial.elsewhere(host) as fmq:
            trial.listen(trial.topic("#"), fmq=fmq, FMQ_CLIENT_ID=None, ready=False).wait_to_say(SUBSCRIBED, 15)
        trial.says("taken")


@pytest.mark.feature("`fmq doctor`")
def test_doctor(trials: Iterator[Trial]) -> None:
    """It finds no problem with the settings of the page, and looks at every filter, whatever the broker does about $SYS."""
    for trial in trials:
        topics = trial.topic("#"), trial.topic("exact")
        settings = {**trial.settings(), "FMQ_TOPICS": ",".join(topics)}
        doctor = trial.fmq.start("doctor", "--json", "--skip", "store", **settings)
        code = doctor.wait(60)
        found = {one["about"]: (one["level"], one["text"]) for one in json.loads(doctor.text)["findings"]}
        for topic in topics:
            assert found.get(f"subscription {topic}", ("", ""))[0] == "ok", doctor.text
        assert "problem" not in {level for level, _ in found.values()}, doctor.text
        assert code == 0, doctor.text
        warnings = [f"warns: {text}" for level, text in found.values() if level == "warning"]
        trial.says("; ".join(warnings) or "no problem")
