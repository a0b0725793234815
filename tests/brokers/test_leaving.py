"""Leaving a broker, or a filter, with messages still waiting there."""

from collections.abc import Iterator

import pytest

from support.brokers.trial import SUBSCRIBED, Trial, numbered
from support.wait import wait_for

_BACKLOG = 10_000


@pytest.mark.feature("`--leave` with a backlog")
def test_leave(trials: Iterator[Trial]) -> None:
    """Exit 0 with every message stored, or exit 1 with the session kept for the next one who comes."""
    for trial in trials:
        queue = trial.topic("#")
        trial.away(queue)
        sent = numbered("waits", _BACKLOG)
        trial.publish((trial.topic("x"), payload) for payload in sent)
        trial.process()
        leaving = trial.listen("--leave", queue, ready=False)
        code = leaving.wait(120)
        if code == 0:
            trial.await_stored(queue, sent, deadline=0)
            with trial.service.plain(trial.version, trial.name, clean=False) as client:
                assert not client.session_present, "it said that it had left, and the broker still has its session"
            trial.says("all stored, session ended")
        else:
            assert code == 1
            trial.listen(queue)
            trial.await_stored(queue, sent)
            trial.says("exit 1, session kept, all stored later")


@pytest.mark.feature("Filter removed with a backlog")
def test_removed_filter(trials: Iterator[Trial]) -> None:
    """What waits for a filter that is not wanted any more is stored before the filter is given back."""
    for trial in trials:
        kept, removed = trial.topic("kept/#"), trial.topic("removed/#")
        trial.away(kept, removed)
        sent = {kept: numbered("kept", 1_000), removed: numbered("removed", _BACKLOG)}
        for queue, payloads in sent.items():
            trial.publish((queue.replace("#", "x"), payload) for payload in payloads)
        trial.listen(kept)
        for queue, payloads in sent.items():
            trial.await_stored(queue, payloads)
        trial.says("all stored in both queues")


@pytest.mark.feature("UNSUBSCRIBE in a resumed session")
def test_missing_unsuback(trials: Iterator[Trial]) -> None:
    """A broker that does not answer UNSUBSCRIBE costs a warning, never the connection or a message."""
    for trial in trials:
        kept, removed = trial.topic("kept/#"), trial.topic("removed/#")
        trial.away(kept, removed)
        answers = _answers_unsubscribe(trial)
        listener = trial.listen(kept)
        if answers:
            listener.wait_to_say("Unsubscribed from", 60)
        else:
            wait_for(
                lambda: any("UNSUB" in line["message"] for line in listener.log if line["level"] != "DEBUG"),  # noqa: B023
                60,
                what="a warning about the missing UNSUBACK",
            )
        sent = numbered("later", 200)
        trial.publish((trial.topic("kept/x"), payload) for payload in sent)
        trial.await_stored(kept, sent)
        assert len(listener.said(SUBSCRIBED)) == 1, f"the listener had to connect again:\n{listener.text[-2000:]}"
        trial.says("answered" if answers else "never answered; the log reports it, and intake continues")


def _answers_unsubscribe(trial: Trial) -> bool:
    name, topic = f"{trial.name}u", trial.topic("u")
    with trial.plain(name, clean=False) as client:
        client.subscribe(topic)
    with trial.plain(name, clean=False) as client:
        return client.unsubscribe(topic, 3.0)
