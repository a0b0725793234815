"""What is known of messages of QoS 2 between their PUBREC and their PUBREL."""

from fmq.message import Incoming
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.exactly_once import ExactlyOnce

_A = Incoming("q", "t", b"a", 1.0, 2)


def test_what_a_failed_commit_held_is_not_known() -> None:
    """It was never acknowledged, so what the broker delivers again has to be stored."""
    known = ExactlyOnce()
    assert not known.repeats(Batch(1), 7, _A)
    batch = Batch(2)
    assert not known.repeats(batch, 7, _A)
    known.stored(batch)
    assert known.repeats(Batch(3), 7, _A)


def test_a_release_holds_with_its_commit() -> None:
    """A PUBREL that was not answered comes again; until then the message is one that was stored."""
    known = ExactlyOnce()
    batch = Batch(1)
    known.repeats(batch, 7, _A)
    known.release(batch, 7)
    assert not known.repeats(batch, 7, _A)  # within one batch, too
    known.stored(batch)
    lost = Batch(1)
    known.release(lost, 7)
    assert lost.completions == [(7, True)]
    assert known.repeats(Batch(2), 7, _A)
    batch = Batch(2)
    known.release(batch, 7)
    known.release(batch, 8)
    assert batch.completions == [(7, True), (8, False)]
    known.stored(batch)
    assert not known.repeats(Batch(3), 7, _A)


def test_another_message_is_stored() -> None:
    """Under an identifier that was not released; and in a new session nothing is known."""
    known = ExactlyOnce()
    batch = Batch(1)
    known.repeats(batch, 7, _A)
    known.stored(batch)
    assert not known.repeats(Batch(2), 7, _A._replace(payload=b"b"))
    assert known.repeats(Batch(2), 7, _A._replace(received_at=9.0))
    known.forget()
    assert not known.repeats(Batch(3), 7, _A)
