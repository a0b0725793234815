"""Messages: quality of service, retained, large, shared, in several queues."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

import pytest

from fmq.topics import QUARANTINE
from support.brokers.plain import UNANSWERED, Plain
from support.brokers.trial import Trial, numbered
from support.processes import FmqProcess
from support.wait import wait_for

_MIB = 1024 * 1024
_WINDOW = 20


@pytest.mark.feature("Published at QoS 0, 1, 2")
def test_quality_of_service(trials: Iterator[Trial]) -> None:
    """What the broker takes is stored, whatever the publisher's QoS; the listener gets it at QoS 1 at most."""
    for trial in trials:
        queue = trial.topic("#")
        trial.listen(queue)
        taken = []
        for qos in (0, 1, 2):
            payload = b"at %d" % qos
            with trial.plain() as client:
                if client.takes(trial.topic("x"), payload, qos):
                    taken.append(qos)
                    trial.await_stored(queue, [payload])
        assert {0, 1} <= set(taken)
        trial.says("all stored" if 2 in taken else "0 and 1 stored; the broker does not accept QoS 2")


@pytest.mark.feature("Retained message")
def test_retained(trials: Iterator[Trial]) -> None:
    """What a plain client gets of retained messages, for a topic and for a wildcard, is stored too."""
    for trial in trials:
        exact, wildcard = trial.topic("exact/x"), trial.topic("wild/#")
        trial.publish([(exact, b"exact"), (trial.topic("wild/x"), b"wild")], retain=True)
        with trial.plain() as client:
            client.subscribe(exact)
            client.subscribe(wildcard)
            # Its own message comes after what is retained.
            client.publish([(exact, b"live"), (trial.topic("wild/y"), b"live")])
            wait_for(lambda: client.payloads.count(b"live") == 2, what="what is live")
            kept = set(client.payloads) - {b"live"}
        trial.listen(exact, wildcard)
        trial.publish([(exact, b"later"), (trial.topic("wild/y"), b"later")])
        trial.await_stored(exact, {b"later"} | (kept & {b"exact"}))
        trial.await_stored(wildcard, {b"later"} | (kept & {b"wild"}))
        words = {frozenset({b"exact", b"wild"}): "stored", frozenset({b"exact"}): "stored for exact topics only"}
        trial.says(words.get(frozenset(kept), "the broker keeps none"))


@pytest.mark.feature("Payloads of 1 and 10 MiB")
def test_large(trials: Iterator[Trial]) -> None:
    """Every size that the broker takes arrives."""
    for trial in trials:
        queue = trial.topic("#")
        trial.listen(queue)
        taken = []
        for size in (1, 10):
            payload = bytes([size]) * (size * _MIB)
            with trial.plain() as client:
                if client.takes(trial.topic("x"), payload):
                    taken.append(size)
                    trial.await_stored(queue, [payload])
        assert taken, "the broker takes no message of 1 MiB"
        trial.says("stored" if taken == [1, 10] else "1 MiB stored; the broker refuses 10 MiB")


@pytest.mark.feature("Topics with a dot, a star, a space")
def test_rewritten_topics(trials: Iterator[Trial]) -> None:
    """A broker may deliver another topic than was published: what it delivers is stored all the same, if only set aside."""
    for trial in trials:
        topics = [trial.topic(f"odd/{text}") for text in ("a.b", "a*b", "a b")]
        taken, delivered = [], {}
        with trial.plain() as control:
            for topic in topics:
                with trial.plain() as publisher:
                    if control.subscribe(topic) != UNANSWERED and publisher.takes(topic, b"control"):
                        taken.append(topic)
                        wait_for(lambda: len(control.messages) == len(taken), 10, what=f"a message of {topic}")  # noqa: B023
                        delivered[topic] = control.messages[-1].topic
        trial.listen(*taken, trial.topic("else/#"))
        trial.publish((topic, topic.encode()) for topic in taken)
        for topic in taken:
            wait_for(lambda: _queue_of(trial, topic, taken), 30, what=f"the message of {topic}")  # noqa: B023
        changed = [
            f"`{_end(topic)}` comes as `{_end(other)}` ({_queue_of(trial, topic, taken)})"
            for topic, other in delivered.items()
            if other != topic
        ]
        refused = [f"`{_end(topic)}` refused" for topic in topics if topic not in taken]
        trial.says("; ".join(["all stored", *changed, *refused]))


def _end(topic: str) -> str:
    return topic.partition("/odd/")[2]


def _queue_of(trial: Trial, topic: str, queues: Sequence[str]) -> str:
    """Where the message published on ``topic`` is stored; empty if nowhere."""
    if topic.encode() in trial.payloads(topic):
        return "in its queue"
    others = (*(queue for queue in queues if queue != topic), QUARANTINE)
    return next((f"in {queue}" for queue in others if topic.encode() in trial.payloads(queue)), "")


@pytest.mark.feature("Sent without a PUBACK, Receive Maximum 20")
def test_receive_maximum(trials: Iterator[Trial]) -> None:
    """However many messages a broker sends before it waits for a PUBACK, all are stored, with FMQ_INFLIGHT below that too."""
    for trial in trials:
        queue, waiting = trial.topic("#"), numbered("waits", 500)
        trial.away(queue)
        with trial.plain(f"{trial.name}c", clean=False) as client:
            client.subscribe(queue)
        trial.publish((trial.topic("x"), payload) for payload in waiting)
        with trial.plain(f"{trial.name}c", clean=False, most=_WINDOW) as client:
            with suppress(AssertionError):
                client.await_payload(waiting[-1], 3)
            sent = len(client.messages)
        trial.listen(queue, FMQ_INFLIGHT=_WINDOW)
        trial.await_stored(queue, waiting)
        trial.says("all 500" if sent == len(waiting) else f"{sent} of 500")


@pytest.mark.feature("Overlapping filters")
def test_overlapping(trials: Iterator[Trial]) -> None:
    """A message that matches two filters is in both queues."""
    for trial in trials:
        queues = trial.topic("#"), trial.topic("+/x")
        trial.listen(*queues)
        sent = numbered("both", 200)
        trial.publish((trial.topic("a/x"), payload) for payload in sent)
        stored = [Counter(trial.await_stored(queue, sent)) for queue in queues]
        once = all(set(counts.values()) == {1} for counts in stored)
        trial.says("once in each queue" if once else "in each queue, some more than once")


@pytest.mark.feature("Shared subscription")
def test_shared(trials: Iterator[Trial]) -> None:
    """Two listeners share the messages without loss; where the broker has no shared subscriptions, the log says so."""
    for trial in trials:
        shared, queue = f"$share/{trial.name}/{trial.topic('#')}", trial.topic("#")
        said, works = _plain_share(trial)
        if not works:
            listener = trial.listen(shared, ready=False)
            wait_for(lambda: _complains(listener), 30, what=f"a warning that {shared} brings nothing")  # noqa: B023
            if trial.version == "5":
                assert not _ready(listener), "ready, and no message will ever come"
            trial.says(f"not available ({said}); the log reports it")
            continue
        listeners = [
            trial.listen(shared, database=name, FMQ_CLIENT_ID=f"{trial.name}{name}") for name in ("one", "two")
        ]
        sent = numbered("shared", 400)
        trial.publish((trial.topic("x"), payload) for payload in sent)

        def stored(trial: Trial = trial, queue: str = queue) -> list[bytes]:
            return trial.payloads(queue, "one") + trial.payloads(queue, "two")

        wait_for(lambda: set(stored()) >= set(sent), 60, what="every message in one store or the other")  # noqa: B023
        assert len(listeners) == 2
        each = "each once" if len(stored()) == len(sent) else "some twice"
        both = "both get some" if trial.payloads(queue, "one") and trial.payloads(queue, "two") else "one gets all"
        trial.says(f"all stored, {each}, {both}")


def _plain_share(trial: Trial) -> tuple[str, bool]:
    """What the broker says about shared subscriptions, and whether messages come by one to a plain client."""
    topic = trial.topic("plain/x")
    with ExitStack() as stack:
        clients: list[Plain] = [stack.enter_context(trial.plain()) for _ in range(2)]
        told = clients[0].limit("SharedSubscriptionAvailable")
        answers = {client.subscribe(f"$share/{trial.name}p/{topic}") for client in clients}
        with trial.plain() as control:
            control.subscribe(topic)
            control.publish((topic, payload) for payload in numbered("plain", 20))
            wait_for(lambda: len(control.payloads) == 20, what="the control's messages")
        if told == 0:
            return "CONNACK says 0", False
        with suppress(AssertionError):
            wait_for(lambda: sum(len(client.payloads) for client in clients) >= 20, 3, what="the shared messages")
        works = any(client.payloads for client in clients)
        return f"SUBACK says {', '.join(sorted(answers))}, and nothing comes", works


def _complains(listener: FmqProcess) -> bool:
    return any("hared" in line["message"] and line["level"] in {"WARNING", "ERROR"} for line in listener.log)


def _ready(listener: FmqProcess) -> bool:
    return bool(json.loads(listener.get("readyz"))["status"] == "ok")
