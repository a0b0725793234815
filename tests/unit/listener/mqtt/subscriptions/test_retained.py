"""Which copies of retained messages are stored with MQTT 3.1.1."""

import tracemalloc

from fmq.message import Incoming
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.subscriptions.retained import Retained

_QUEUE = "r/#"


class Notes(dict[str, str]):
    """The part of a store that keeps notes."""

    def remember(self, key: str, value: str) -> None:
        self[key] = value

    def recall(self, key: str) -> str | None:
        return self.get(key)


def _begun(*, repeated: bool, notes: Notes | None = None) -> Retained:
    retained = Retained(Notes() if notes is None else notes, session="s")
    retained.begin(repeated=frozenset([_QUEUE] if repeated else []))
    return retained


def _message(payload: bytes, *, retain: bool, topic: str = "r/x") -> Incoming:
    return Incoming(_QUEUE, topic, payload, 1.0, 1, retain)


def _stored(retained: Retained, *messages: Incoming) -> list[bytes]:
    """The payloads that are stored of one batch."""
    kept, _ = retained.sift(messages, Batch(0))
    retained.stored(kept)
    return [one.payload for one in kept]


def test_a_copy_is_compared_with_what_came_before_it_in_its_batch() -> None:
    """The last value in the queue is the broker's, also if it was the last one before the batch as well."""
    retained = _begun(repeated=True)
    assert _stored(retained, _message(b"open", retain=False)) == [b"open"]
    batch = _message(b"shut", retain=False), _message(b"open", retain=True)
    assert _stored(retained, *batch) == [b"shut", b"open"]
    retained.begin(repeated=frozenset([_QUEUE]))
    assert _stored(retained, _message(b"shut", retain=False), _message(b"shut", retain=True)) == [b"shut"]


def test_copies_of_a_second_subscribe_are_left_out_on_the_first_connection_too() -> None:
    """A filter granted at QoS 0 is asked for every minute, and each answer brings all its retained messages (3.8.4)."""
    retained = _begun(repeated=False)
    assert _stored(retained, _message(b"open", retain=True)) == [b"open"]
    retained.subscribed_again()
    assert _stored(retained, _message(b"open", retain=True)) == []
    retained.subscribed_again()
    assert _stored(retained, _message(b"shut", retain=True)) == [b"shut"]


def test_a_broker_that_keeps_the_flag_on_new_messages_loses_none() -> None:
    """A SUBSCRIBE brings one copy of a topic; what follows with the flag are new messages, however equal."""
    retained = _begun(repeated=True)
    assert _stored(retained, *[_message(b"on", retain=True)] * 3) == [b"on"] * 3
    retained.begin(repeated=frozenset([_QUEUE]))
    assert _stored(retained, *[_message(b"on", retain=True)] * 3) == [b"on"] * 2


def test_what_the_session_delivers_again_is_no_copy() -> None:
    """The broker has not read its acknowledgement: it comes with DUP, besides the copy that the SUBSCRIBE brings."""
    retained = _begun(repeated=True)
    assert _stored(retained, _message(b"open", retain=True)) == [b"open"]
    retained.begin(repeated=frozenset([_QUEUE]))
    again, copy = _message(b"open", retain=True), _message(b"open", retain=True)
    batch = Batch(0, [again, copy], marks=[(1, True, 0, 1), (2, False, 1, 1)])
    assert retained.sift(batch.messages, batch) == ([again], [copy])


def test_a_new_subscription_brings_its_retained_messages() -> None:
    """A session that the broker has lost gets them again."""
    retained = _begun(repeated=True)
    assert _stored(retained, _message(b"open", retain=True)) == [b"open"]
    retained.begin(repeated=frozenset())
    assert _stored(retained, _message(b"open", retain=True)) == [b"open"]


def test_a_restart_remembers_no_value_that_another_one_has_followed() -> None:
    """It is the broker's value again, published while the broker had lost the subscription."""
    notes = Notes()
    retained = _begun(repeated=False, notes=notes)
    for topic in ("r/x", "r/y"):
        assert _stored(retained, _message(b"open", retain=True, topic=topic)) == [b"open"]
    assert _stored(retained, _message(b"shut", retain=False)) == [b"shut"]
    retained = _begun(repeated=True, notes=notes)
    assert _stored(retained, _message(b"open", retain=True, topic="r/y")) == []
    assert _stored(retained, _message(b"shut", retain=False, topic="r/y")) == [b"shut"]
    assert _stored(retained, _message(b"open", retain=True)) == [b"open"]
    retained = _begun(repeated=True, notes=notes)
    assert _stored(retained, _message(b"open", retain=True)) == []
    assert _stored(retained, _message(b"open", retain=True, topic="r/y")) == [b"open"]


def test_long_topics_take_no_memory() -> None:
    """Twenty thousand topics of 60,000 characters would take 1.2 GB."""
    retained = _begun(repeated=False)
    tracemalloc.start()
    try:
        for number in range(200):
            _stored(retained, _message(b"", retain=number % 2 == 0, topic="x" * 60_000 + str(number)))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1_000_000
