"""Sessions: nothing that the broker has acknowledged is lost if either side is away, restarted or killed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from support.brokers.plain import Plain
from support.brokers.service import Service
from support.brokers.trial import SUBSCRIBED, Trial, numbered
from support.wait import wait_for

_LOST = "lost this listener's session"


@pytest.mark.feature("Backlog of an absent listener")
def test_backlog(trials: Iterator[Trial]) -> None:
    """What came while the listener was away is stored when it is back, in order, and what comes then."""
    for trial in trials:
        queue = trial.topic("#")
        trial.away(queue)
        sent = numbered("away", 2_000)
        trial.publish((trial.topic("x"), payload) for payload in sent)
        trial.listen(queue)
        stored = trial.await_stored(queue, sent)
        later = numbered("back", 50)
        trial.publish((trial.topic("x"), payload) for payload in later)
        trial.await_stored(queue, later)
        order = "in order" if stored[: len(sent)] == sent else "in another order"
        trial.says(f"all stored, {order}" if len(stored) == len(sent) else "all stored, some twice")


@pytest.mark.feature("Listener killed three times under load")
def test_listener_killed(trials: Iterator[Trial]) -> None:
    """SIGKILL while messages pour in: every one is stored."""
    for trial in trials:
        queue = trial.topic("#")
        listener = trial.listen(queue)
        sent = numbered("load", 6_000)
        load = threading.Thread(target=trial.publish, args=([(trial.topic("x"), payload) for payload in sent],))
        load.start()
        for _ in range(3):
            before = len(trial.payloads(queue))
            wait_for(lambda: len(trial.payloads(queue)) > before or not load.is_alive(), 30, what="more messages")  # noqa: B023
            listener.kill()
            listener = trial.listen(queue)
        load.join()
        trial.await_stored(queue, sent)
        trial.says("all stored")


@pytest.mark.feature("Broker restarted, listener away")
def test_broker_restarted(trials: Iterator[Trial]) -> None:
    """What the broker still has after a restart is stored; a session that it has lost is named in the log."""
    for trial in trials:
        _while_away(trial, trial.service.stop)


@pytest.mark.feature("Broker killed, listener away")
def test_broker_killed(trials: Iterator[Trial]) -> None:
    """The same after SIGKILL, once the broker has written what it acknowledged."""
    for trial in trials:
        _while_away(trial, partial(_kill, trial.service))


def _kill(service: Service) -> None:
    service.await_saved()
    service.kill()


def _while_away(trial: Trial, end: Callable[[], None]) -> None:
    queue = trial.topic("#")
    trial.away(queue)
    control = f"{trial.name}c"
    with trial.plain(control, clean=False) as client:
        client.subscribe(queue)
    sent = numbered("away", 1_000)
    trial.publish((trial.topic("x"), payload) for payload in sent)
    end()
    trial.service.start()
    with trial.plain(control, clean=False) as client:
        kept = _everything_of(client, sent) if client.session_present else set()
        present = client.session_present
    listener = trial.listen(queue)
    if not present:
        assert listener.said(_LOST), (
            f"the broker has forgotten the session, and the log does not say so:\n{listener.text}"
        )
    trial.await_stored(queue, kept)
    again = numbered("again", 50)
    trial.publish((trial.topic("x"), payload) for payload in again)
    trial.await_stored(queue, again)
    if present:
        trial.says("all kept and stored" if len(kept) == len(sent) else "the broker loses messages")
    else:
        trial.says("the broker forgets the session and its messages; the log reports it, and intake continues")


def _everything_of(client: Plain, sent: list[bytes]) -> set[bytes]:
    with suppress(AssertionError):
        wait_for(lambda: set(client.payloads) >= set(sent), 20, what="everything")
    return set(client.payloads)


@pytest.mark.feature("Broker restarted and killed, listener connected")
def test_broker_under_a_listener(trials: Iterator[Trial]) -> None:
    """The listener comes back without help; everything acknowledged before and after is stored."""
    for trial in trials:
        queue = trial.topic("#")
        listener = trial.listen(queue)
        sent: list[bytes] = []
        for number, end in enumerate((trial.service.stop, trial.service.kill)):
            first = numbered(f"before {number}", 500)
            trial.publish((trial.topic("x"), payload) for payload in first)
            trial.await_stored(queue, first)
            end()
            trial.service.start()
            listener.wait_to_say(SUBSCRIBED, 60, times=number + 2)
            last = numbered(f"after {number}", 500)
            trial.publish((trial.topic("x"), payload) for payload in last)
            sent += first + last
        trial.await_stored(queue, sent)
        trial.says("all stored")


@pytest.mark.feature("Second listener with the same client id")
def test_take_over(trials: Iterator[Trial]) -> None:
    """Nothing is lost between two listeners that fight for one session; with MQTT 5 the log names the cause where the broker does."""
    for trial in trials:
        queue = trial.topic("#")
        first = trial.listen(queue, database="first")
        second = trial.listen(queue, database="second")
        first.wait_to_say("Connection", 30)
        sent = numbered("contested", 500)
        trial.publish((trial.topic("x"), payload) for payload in sent)
        assert second.terminate() == 0

        def everything(trial: Trial = trial, queue: str = queue, sent: list[bytes] = sent) -> bool:
            return set(trial.payloads(queue, "first")) | set(trial.payloads(queue, "second")) >= set(sent)

        wait_for(everything, 60, what="every message in one store or the other")
        named = first.said("same client id")
        trial.says("nothing lost; the broker gives the reason" if named else "nothing lost; closed without a reason")
