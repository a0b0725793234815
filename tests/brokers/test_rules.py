"""Access rules, duplicates, and a processor that publishes into the broker."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.brokers.plain import UNANSWERED
from support.brokers.trial import ARRIVAL_SECONDS, Trial, numbered
from support.wait import wait_for

_FORBIDDEN = "secret/#"


def _as_limited(trial: Trial) -> dict[str, Any]:
    user = trial.service.limited_user
    return {} if user is None else {"FMQ_BROKER_USERNAME": user[0], "FMQ_BROKER_PASSWORD": user[1]}


def _plain_answer(trial: Trial) -> str:
    """What the broker answers a plain client that subscribes to what it may not read."""
    with trial.service.plain(trial.version, user=trial.service.limited_user) as client:
        answer = client.subscribe(_FORBIDDEN)
        if answer != UNANSWERED and "Granted" not in answer:
            closed = client.closes_on_ping()
            return f"SUBACK: {answer}{', then closed' if closed else ''}"
        return answer


@pytest.mark.feature("Forbidden filter next to a good one")
def test_refused_filter(trials: Iterator[Trial]) -> None:
    """Messages of the good filter are stored as if it were alone; the log names the one that the broker refuses."""
    for trial in trials:
        good = trial.topic("#")
        answer = _plain_answer(trial)
        granted = "Granted" in answer
        listener = trial.listen(good, _FORBIDDEN, ready=granted, **_as_limited(trial))
        wait_for(lambda: granted or any(_FORBIDDEN in line["message"] for line in listener.log[1:]), 30, what="a word")  # noqa: B023
        wait_for(lambda: _arrives(trial, good, b"first"), ARRIVAL_SECONDS, what="the good filter's first message")  # noqa: B023
        sent = numbered("good", 3_000)
        trial.publish((trial.topic("x"), payload) for payload in sent)
        trial.await_stored(good, sent, deadline=30)
        trial.says("the broker grants every filter" if granted else f"{answer}; the good filter's messages are stored")


def _arrives(trial: Trial, queue: str, payload: bytes) -> bool:
    trial.publish([(trial.topic("x"), payload)])
    return payload in trial.payloads(queue)


@pytest.mark.feature("`fmq doctor` as a user with few rights")
def test_doctor_of_a_limited_user(trials: Iterator[Trial]) -> None:
    """It says of each filter whether the broker grants it, even where a refusal ends the connection."""
    for trial in trials:
        refused = "Granted" not in _plain_answer(trial)
        topics = _FORBIDDEN, trial.topic("#"), trial.topic("exact")
        settings = {**trial.settings(), **_as_limited(trial), "FMQ_TOPICS": ",".join(topics)}
        doctor = trial.fmq.start("doctor", "--json", "--skip", "store", **settings)
        doctor.wait(60)
        found = {one["about"]: (one["level"], one["text"]) for one in json.loads(doctor.text)["findings"]}
        levels = [found.get(f"subscription {topic}", ("missing", ""))[0] for topic in topics]
        assert levels == ["problem" if refused else "ok", "ok", "ok"], doctor.text
        trial.says("names the refused filter" if refused else "every filter is granted")


@pytest.mark.feature("`FMQ_DUPLICATES=session`")
def test_duplicates_of_a_session(trials: Iterator[Trial]) -> None:
    """Messages that are alike are all stored, whatever the broker's packet identifiers do when connections end."""
    for trial in trials:
        queue, same = trial.topic("#"), b"always the same"
        total = 0
        for _ in range(6):
            listener = trial.listen(queue, FMQ_DUPLICATES="session")
            total += trial.publish([(trial.topic("x"), same)] * 40)
            wait_for(lambda: len(trial.payloads(queue)) >= total, ARRIVAL_SECONDS, what=f"{total} rows")  # noqa: B023
            listener.stop_for_a_while()
            total += trial.publish([(trial.topic("x"), same)] * 20)
            listener.kill()
        trial.listen(queue, FMQ_DUPLICATES="session")
        last = numbered("last", 1)
        trial.publish((trial.topic("x"), payload) for payload in last)
        trial.await_stored(queue, last)
        wait_for(lambda: len(trial.payloads(queue)) > total, ARRIVAL_SECONDS, what=f"{total} rows and the last one")  # noqa: B023
        exact = len(trial.payloads(queue)) == total + 1
        trial.says("each stored once" if exact else "each stored, some twice")


@pytest.mark.feature("`FMQ_DUPLICATES=key`")
def test_duplicates_by_key(trials: Iterator[Trial]) -> None:
    """What a publisher sends twice is stored once."""
    for trial in trials:
        queue = trial.topic("#")
        sent = [json.dumps({"id": number}).encode() for number in range(200)]
        trial.listen(queue, FMQ_DUPLICATES="key", FMQ_DUPLICATE_KEY="/id")
        for _ in range(2):
            trial.publish((trial.topic("x"), payload) for payload in sent)
        trial.publish([(trial.topic("x"), b'{"id": "last"}')])
        stored = trial.await_stored(queue, [b'{"id": "last"}', *sent])
        assert len(stored) == len(sent) + 1
        trial.says("each stored once")


@pytest.mark.feature("Handler `mqtt` into this broker")
def test_handler(trials: Iterator[Trial]) -> None:
    """What is stored is published again, and the broker's acknowledgement settles it."""
    for trial in trials:
        queue = trial.topic("in/#")
        trial.listen(queue)
        settings = {
            "FMQ_MQTT_URL": trial.service.url("mqtt", trial.version),
            "FMQ_MQTT_PROTOCOL": trial.version,
            "FMQ_MQTT_TOPIC": trial.topic("out/{2}"),
        }
        names = {"FMQ_BROKER_USERNAME": "FMQ_MQTT_USERNAME", "FMQ_BROKER_PASSWORD": "FMQ_MQTT_PASSWORD"}
        settings |= {names[name]: value for name, value in trial.service.settings.items() if name in names}
        with trial.plain() as subscriber:
            subscriber.subscribe(trial.topic("out/#"))
            trial.process(queue, "--handler", "mqtt", **settings)
            sent = numbered("passed on", 1_000)
            trial.publish((trial.topic("in/x"), payload) for payload in sent)
            wait_for(lambda: set(subscriber.payloads) >= set(sent), ARRIVAL_SECONDS, what="every message")  # noqa: B023
        trial.says("all published")
